"""The cache of image embeddings: found again, resumed, damaged, shared by processes."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
from fake_images import CLASSES, FakeImageEncoder, expected, random_images
from PIL import Image
from typer.testing import CliRunner

from ke2nt.banks.split_digest import split_digest
from ke2nt.cli.cache import app
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.errors import CacheError, DataError, ModelError
from ke2nt.evaluation import embed_split as embed
from ke2nt.evaluation.embed_split import embed_split


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def entries(cache):
    return [path for path in (cache / "images").iterdir() if not path.name.startswith(".")]


def test_cache_hit_loads_and_reads_nothing(cache, monkeypatch):
    split = random_images(20)
    first = embed_split(FakeImageEncoder(), split, cache_dir=cache)

    np.testing.assert_allclose(first.embeddings, expected(split), rtol=0, atol=1e-6)

    monkeypatch.setattr(FakeImageEncoder, "load", lambda *_: pytest.fail("loaded the model"))
    monkeypatch.setattr(FakeImageEncoder, "preprocess", lambda *_: pytest.fail("read an image"))
    second = embed_split(FakeImageEncoder(), split, cache_dir=cache, batch_size=7)

    assert isinstance(second.embeddings, np.memmap)
    assert not second.embeddings.flags.writeable
    assert np.array_equal(first.embeddings, second.embeddings)
    assert second.logit_scale == 42.0
    assert second.names == tuple(s.name for s in split.samples)
    assert second.labels.tolist() == [0, 1] * 10


def test_labels_are_not_part_of_the_key(cache):
    split = random_images(6)
    encoder = FakeImageEncoder()
    embed_split(encoder, split, cache_dir=cache)
    other = tuple(dataclasses.replace(s, label=1) for s in split.samples)
    images = embed_split(encoder, dataclasses.replace(split, samples=other), cache_dir=cache)
    assert encoder.loaded == 1
    assert images.labels.tolist() == [1] * 6


@pytest.mark.parametrize(
    "change",
    [
        lambda: (FakeImageEncoder(weights="other"), random_images(6), {}),
        lambda: (FakeImageEncoder(size=9), random_images(6), {}),
        lambda: (FakeImageEncoder(), random_images(6, seed=1), {}),
        lambda: (FakeImageEncoder(), random_images(6, split="val"), {}),
        lambda: (FakeImageEncoder(), random_images(5), {}),
        lambda: (FakeImageEncoder(), random_images(6).subset([1, 0, 2, 3, 4, 5]), {}),
        lambda: (FakeImageEncoder(), random_images(6), {"precision": "bf16"}),
    ],
    ids=["weights", "preprocessing", "images", "split", "fewer", "order", "precision"],
)
def test_every_change_makes_another_entry(cache, change):
    embed_split(FakeImageEncoder(), random_images(6), cache_dir=cache)
    encoder, split, options = change()
    embed_split(encoder, split, cache_dir=cache, **options)
    assert encoder.loaded == 1
    assert len(entries(cache)) == 2


@pytest.mark.parametrize("name", ["embeddings.npy", "embeddings.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "delete", "nonsense"])
def test_damaged_entry_is_reported_and_made_anew(cache, capsys, name, damage):
    split = random_images(6)
    before = np.array(embed_split(FakeImageEncoder(), split, cache_dir=cache).embeddings)
    (entry,) = entries(cache)
    path = entry / name
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-9] ^= 1
    path.write_bytes({"cut": data[:-5], "nonsense": b"[1]"}.get(damage, data))
    if damage == "delete":
        path.unlink()
    encoder = FakeImageEncoder()
    images = embed_split(encoder, split, cache_dir=cache)

    assert encoder.loaded == 1
    assert np.array_equal(images.embeddings, before)
    assert "damaged cache entry" in capsys.readouterr().err
    assert embed_split(encoder, split, cache_dir=cache) is not None
    assert encoder.loaded == 1


def test_valid_entry_under_a_wrong_key_is_rejected(cache):
    embed_split(FakeImageEncoder(), random_images(6), cache_dir=cache)
    (first,) = entries(cache)
    embed_split(FakeImageEncoder(), random_images(6, seed=1), cache_dir=cache)
    (second,) = (path for path in entries(cache) if path != first)
    for name in ("embeddings.npy", "embeddings.json"):
        (second / name).write_bytes((first / name).read_bytes())
    images = embed_split(FakeImageEncoder(), random_images(6, seed=1), cache_dir=cache)
    np.testing.assert_allclose(
        images.embeddings, expected(random_images(6, seed=1)), rtol=0, atol=1e-6
    )


def test_interrupted_work_is_resumed(cache, monkeypatch):
    monkeypatch.setattr(embed, "_PIECE", 8)
    split = random_images(30)
    stopped = FakeImageEncoder(stop_after=21)
    with pytest.raises(KeyboardInterrupt):
        embed_split(stopped, split, cache_dir=cache, batch_size=4)
    assert entries(cache) == []

    again = FakeImageEncoder()
    images = embed_split(again, split, cache_dir=cache, batch_size=4)
    assert again.embedded == 30 - 16  # two pieces of 8 were kept
    np.testing.assert_allclose(images.embeddings, expected(split), rtol=0, atol=1e-6)
    assert len(entries(cache)) == len(list((cache / "images").iterdir())) == 1


def test_damaged_piece_is_made_anew(cache, monkeypatch):
    monkeypatch.setattr(embed, "_PIECE", 8)
    split = random_images(30)
    with pytest.raises(KeyboardInterrupt):
        embed_split(FakeImageEncoder(stop_after=26), split, cache_dir=cache, batch_size=4)
    second = sorted((cache / "images").glob(".*.begun/*.npy"))[1]
    data = bytearray(second.read_bytes())
    data[-1] ^= 1
    second.write_bytes(data)
    again = FakeImageEncoder()
    images = embed_split(again, split, cache_dir=cache, batch_size=4)

    assert again.embedded == 30 - 8
    np.testing.assert_allclose(images.embeddings, expected(split), rtol=0, atol=1e-6)


def on_disk(root, count, bad=()):
    root.mkdir(parents=True, exist_ok=True)
    for i, sample in enumerate(random_images(count).samples):
        path = root / f"{i}.png"
        Image.fromarray(sample.source).save(path)
        if i in bad:
            path.write_bytes(b"no image")
    samples = tuple(FaceSample(f"{i}.png", root / f"{i}.png", i % 2) for i in range(count))
    return FaceSplit("files", "test", CLASSES, samples)


def test_unreadable_images_are_named_and_skipped(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(embed, "_PIECE", 4)
    split = on_disk(tmp_path / "faces", 11, bad=(0, 4, 5, 6, 7, 10))
    (tmp_path / "faces" / "2.png").unlink()

    for _ in range(2):
        images = embed_split(FakeImageEncoder(), split, cache_dir=cache, batch_size=2)
        assert images.names == ("1.png", "3.png", "8.png", "9.png")
        assert images.labels.tolist() == [1, 1, 0, 1]
        failed = [f"{i}.png" for i in (0, 2, 4, 5, 6, 7, 10)]
        assert [name for name, _ in images.failed] == failed
        assert "no such file" in dict(images.failed)["2.png"]
        good = split.subset([1, 3, 8, 9])
        np.testing.assert_allclose(images.embeddings, expected(good), rtol=0, atol=1e-6)


def test_split_without_readable_images(cache, tmp_path):
    split = on_disk(tmp_path / "faces", 3, bad=range(3))
    with pytest.raises(DataError, match="no image of the split can be read"):
        embed_split(FakeImageEncoder(), split, cache_dir=cache)
    assert entries(cache) == []
    with pytest.raises(DataError, match="the split is empty"):
        embed_split(FakeImageEncoder(), random_images(0), cache_dir=cache)


def test_changed_image_makes_another_entry(cache, tmp_path):
    split = on_disk(tmp_path / "faces", 4)
    encoder = FakeImageEncoder()
    embed_split(encoder, split, cache_dir=cache)
    path = tmp_path / "faces" / "2.png"
    old, stat = path.read_bytes(), path.stat()
    Image.fromarray(np.zeros((9, 7, 3), np.uint8)).save(path)
    changed = embed_split(encoder, split, cache_dir=cache)

    np.testing.assert_allclose(changed.embeddings, expected(split), rtol=0, atol=1e-6)
    assert encoder.loaded == 2

    path.write_bytes(old)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    embed_split(encoder, split, cache_dir=cache)

    assert encoder.loaded == 2


def test_file_digests_are_remembered_once_files_have_settled(tmp_path, monkeypatch):
    split = on_disk(tmp_path / "faces", 4)
    read = []
    real = split_digest.__globals__["digest_file"]
    monkeypatch.setitem(
        split_digest.__globals__, "digest_file", lambda path: read.append(path) or real(path)
    )
    first = split_digest(split, tmp_path / "memo")

    assert split_digest(split, tmp_path / "memo") == first
    assert len(read) == 8  # files this young are read each time

    past = time.time() - 60
    for sample in split.samples:
        os.utime(sample.source, (past, past))

    assert split_digest(split, tmp_path / "memo") == first
    assert split_digest(split, tmp_path / "memo") == first
    assert len(read) == 12

    for note in (tmp_path / "memo" / "digests").iterdir():
        note.write_bytes(note.read_bytes()[:-3])

    assert split_digest(split, tmp_path / "memo") == first
    assert len(read) == 16

    renamed = dataclasses.replace(split.samples[0], name="x")
    moved = dataclasses.replace(split, samples=(renamed, *split.samples[1:]))

    assert split_digest(moved, tmp_path / "memo") != first


def worker(cache, log, count):
    split = random_images(count)
    images = embed_split(FakeImageEncoder(log=Path(log)), split, cache_dir=cache, batch_size=4)
    assert np.allclose(images.embeddings, expected(split), rtol=0, atol=1e-6)


def test_one_of_many_processes_embeds(cache, tmp_path):
    log = tmp_path / "log"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=worker, args=(cache, str(log), 60)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 6
    assert len(log.read_text().splitlines()) == 1
    assert len(entries(cache)) == 1


def test_unwritable_cache(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="--cache-dir or KE2NT_CACHE"):
        embed_split(FakeImageEncoder(), random_images(3), cache_dir=tmp_path / "file")


def test_zero_embedding_is_refused(cache, monkeypatch):
    monkeypatch.setattr(
        FakeImageEncoder, "encode_image", lambda self, pixels: pixels[:, 0, 0] * 0.0
    )
    with pytest.raises(ModelError, match="zero or not finite"):
        embed_split(FakeImageEncoder(), random_images(3), cache_dir=cache)


def test_cache_command_lists_verifies_and_prunes(cache):
    def call(*words):
        done = CliRunner().invoke(app, [*words, "--cache-dir", str(cache), "--json"])
        return json.loads(done.stdout), done.exception

    embed_split(FakeImageEncoder(), random_images(3), cache_dir=cache)
    embed_split(FakeImageEncoder(), random_images(4, split="val"), cache_dir=cache)
    listed, _ = call("list")

    assert listed["entries"] == []
    assert {(row["dataset"], row["split"], row["count"]) for row in listed["images"]} == {
        ("random", "test", 3),
        ("random", "val", 4),
    }

    table = CliRunner().invoke(app, ["list", "--cache-dir", str(cache)]).stdout
    assert "2 splits of images" in table
    assert "fake:images" in table
    assert call("prune")[0] == []

    bad = entries(cache)[0]
    (bad / "embeddings.npy").write_bytes(b"x")
    rows, problem = call("verify")

    assert [row["key"] for row in rows["entries"] if row["problem"]] == [bad.name]
    assert isinstance(problem, CacheError)

    (gone,), _ = call("prune")
    assert gone["key"] == bad.name
    assert len(entries(cache)) == 1
    assert len(call("prune", "--all")[0]) == 1
    assert entries(cache) == []


def test_facts_of_an_entry(cache):
    embed_split(FakeImageEncoder(), random_images(3), cache_dir=cache)
    facts = json.loads((entries(cache)[0] / "embeddings.json").read_text())
    assert facts["recipe"]["encoder"] == "fake:images"
    assert facts["recipe"]["dataset"] == "random"
    assert facts["recipe"]["count"] == 3
