"""Packed datasets: same samples and pixels without decoding; clear errors for damage."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import run_ke2nt
from PIL import Image

from ke2nt.data.sample import packed_pixels
from ke2nt.data.splits import hold_out
from ke2nt.data.tensors import FaceTensors
from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.pack import pack_dataset
from ke2nt.errors import DataError


@pytest.fixture
def manifest(tmp_path):
    """Twelve faces in two splits, one of them broken, with subjects and an attribute."""
    root = tmp_path / "faces"
    root.mkdir()
    rng = np.random.default_rng(0)
    lines = ["path,label,split,subject,attr:age"]
    for i in range(12):
        pixels = rng.integers(0, 256, (30, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{i}.png")
        label, split = ("anger", "fear")[i % 2], "train" if i < 8 else "val"
        lines.append(f"{i}.png,{label},{split},p{i // 2},{'' if i == 5 else 20 + i}")
    (root / "3.png").write_bytes(b"broken")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return get_reader("manifest", root)


@pytest.fixture
def packed(manifest, tmp_path):
    pack_dataset(manifest, tmp_path / "packed", 20, quiet=True)
    return get_reader("packed", tmp_path / "packed")


def test_samples_equal_the_dataset(manifest, packed):
    assert packed.splits == manifest.splits == ("train", "val")
    assert packed.classes == manifest.classes

    # One image cannot be read, all others keep their annotations
    for name in packed.splits:
        samples = [s for s in manifest.load(name).samples if s.name != "3.png"]
        split = packed.load(name)
        assert split.dataset == "manifest"
        assert len(split) == len(samples) == (7 if name == "train" else 4)
        for old, new in zip(samples, split.samples, strict=True):
            fields = ("name", "label", "distribution", "subject")
            assert [getattr(old, f) for f in fields] == [getattr(new, f) for f in fields]
            assert dict(old.attributes) == dict(new.attributes)


@pytest.mark.parametrize("memory", ["ram", "lazy"])
@pytest.mark.parametrize("name", ["train", "val"])
def test_pixels_equal_the_dataset(manifest, packed, name, memory):
    decoded, mapped = (
        torch.cat([b.pixels for b in FaceTensors(split, 20, memory=memory, workers=0).batches(3)])
        for split in (manifest.load(name), packed.load(name))
    )
    assert torch.equal(decoded, mapped)


def test_another_size_is_resized_from_the_packed_one(packed):
    split = packed.load("val")
    (batch,) = FaceTensors(split, 10, workers=0).batches(8)
    expected = Image.fromarray(split.samples[0].source.read()).resize((10, 10), 3)
    assert np.array_equal(batch.pixels[0].permute(1, 2, 0).numpy(), np.asarray(expected))


def test_parts_of_a_packed_split_keep_their_rows(packed):
    part = hold_out(packed.load("val"), ["anger"]).subset([1])
    (batch,) = FaceTensors(part, 20, memory="lazy").batches(4)

    assert part.samples[0].name == "11.png"
    assert np.array_equal(
        batch.pixels[0].permute(1, 2, 0).numpy(), np.load(packed.root / "val.npy")[3]
    )
    assert isinstance(packed_pixels(part.samples[0].source.path), np.memmap)
    assert len(pickle.dumps(part.samples[0])) < 1000  # a place, not the array


def anonymous_memory() -> int:
    """Bytes of this process that no file stands behind."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("only Linux says how much memory is backed by files")
    line = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
    return 1024 * int(line.split()[1])


def test_pack_as_large_as_affectnet_is_not_held_in_memory(packed):
    rows, count = 290_000, 1_500  # 11 GB, nearly all of it a hole in the file
    path = packed.root / "train.npy"
    shape = (rows, 112, 112, 3)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    places = [rows // count * i for i in range(count)]
    array[places[-1]] = 7
    del array
    facts = json.loads((packed.root / "train.json").read_text())
    columns = {key: [None] * count for key in ("sources", "distributions", "subjects")}
    columns |= {"rows": places, "names": [str(i) for i in range(count)], "labels": [0] * count}
    facts |= {**columns, "attributes": {}}
    (packed.root / "train.json").write_text(json.dumps(facts))
    split = get_reader("packed", packed.root).load("train")
    before = anonymous_memory()
    faces = FaceTensors(split, 112, memory="lazy")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    last = 0
    for batch in faces.batches(64, order=order):
        last += int((batch.pixels[:, 0, 0, 0] == 7).sum())
        assert anonymous_memory() - before < 50 * 2**20

    assert last == 1
    assert path.stat().st_size > 10 * 2**30


def test_unreadable_images_are_named(manifest, tmp_path):
    summary = pack_dataset(manifest, tmp_path / "again", 16, splits=["train"], quiet=True)
    assert list(summary) == ["train"]
    assert list(summary["train"]["failed"]) == ["3.png"]
    assert sorted(p.name for p in (tmp_path / "again").iterdir()) == ["train.json", "train.npy"]
    with pytest.raises(DataError, match="in use"):
        pack_dataset(manifest, tmp_path / "again", 16, quiet=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda root: (root / "val.npy").write_bytes((root / "val.npy").read_bytes()[:-1]),
        lambda root: (root / "val.npy").write_bytes(b"not an array"),
        lambda root: (root / "val.json").write_text("{"),
        lambda root: (root / "val.json").write_text('{"format": 99}'),
        lambda root: change(root, "rows", [0, 1, 2, 4]),
        lambda root: change(root, "labels", [0, 1, 0, 7]),
        lambda root: change(root, "names", ["a"]),
        lambda root: np.save(root / "val.npy", np.zeros((4, 20, 20, 3))),
    ],
)
def test_damage_is_a_clear_error(packed, damage):
    damage(packed.root)
    with pytest.raises(DataError, match="packed split is damaged"):
        get_reader("packed", packed.root)


def change(root, key, value):
    facts = json.loads((root / "val.json").read_text())
    (root / "val.json").write_text(json.dumps({**facts, key: value}))


def test_pack_command(manifest, tmp_path):
    out = tmp_path / "out"
    command = ["data", "pack", "manifest", manifest.root]
    done = run_ke2nt(*command, "--out", out, "--size", "16", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["val"]["samples"] == 4
