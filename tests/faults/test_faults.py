"""Bad disks and bad images, through the commands: one clear line, and other results are kept."""

from __future__ import annotations

import errno
import os
import pickle
import resource
import sys
import tempfile

import numpy as np
import pytest
import torch
from PIL import Image

from ke2nt.banks.text_bank import TextBank
from ke2nt.cli import main as cli
from ke2nt.data.images import decode
from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.pack import pack_dataset
from ke2nt.errors import CheckpointError, ImageReadError, Ke2ntError
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.load import load_model

CLASSES = ("neutral", "anger")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    bank = TextBank.from_tensors(torch.eye(2, 8), classes=CLASSES, neutral_index=0, logit_scale=9.0)
    folder = tmp_path_factory.mktemp("model") / "m"
    KE2NT(bank, "test_resnet", 24).save_pretrained(folder)
    return folder


def good(size=(20, 20)):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), "u1"))


@pytest.fixture
def strange_faces(tmp_path):
    """Write images of every unusual kind that can be read, and of every kind that cannot."""
    folder = tmp_path / "faces" / "test" / "anger"
    folder.mkdir(parents=True)
    (tmp_path / "faces" / "test" / "neutral").mkdir()
    good().save(tmp_path / "faces" / "test" / "neutral" / "a.png")
    good().convert("CMYK").save(folder / "cmyk.jpg")
    good().convert("P").save(folder / "palette.png")
    gray = np.linspace(0, 65535, 400).reshape(20, 20).astype(np.uint16)
    Image.fromarray(gray).save(folder / "sixteen.png")
    good().save(folder / "moving.gif", save_all=True, append_images=[Image.new("RGB", (20, 20))])
    good().save(folder / "wrong.jpg", format="PNG")
    good((2, 20_000)).save(folder / "wide.png")
    (folder / "cut.jpg").write_bytes(b"")
    good((60, 60)).save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:900])
    (folder / "empty.png").write_bytes(b"")
    header = good((1, 1))
    header.save(folder / "huge.bmp")
    data = bytearray((folder / "huge.bmp").read_bytes())
    data[18:26] = (20_000).to_bytes(4, "little") * 2  # width and height
    (folder / "huge.bmp").write_bytes(data)
    return tmp_path / "faces"


def run(monkeypatch, capfd, *arguments):
    monkeypatch.setattr(sys, "argv", ["ke2nt", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code, *capfd.readouterr()


def test_unusual_images_are_read_and_bad_ones_named(monkeypatch, capfd, model, strange_faces):
    code, out, err = run(
        *(monkeypatch, capfd, "evaluate", model, "--dataset", "folder", "--root", strange_faces),
        *("--split", "test", "--bootstrap", 0, "--device", "cpu", "--quiet"),
    )
    assert code == 0
    assert "folder test: 7 images" in out
    reasons = {"cut.jpg": "truncated", "empty.png": "an empty file", "huge.bmp": "400000000 pixels"}
    lines = [line for line in err.splitlines() if line.startswith("unreadable: ")]
    assert len(lines) == 3
    for name, reason in reasons.items():
        assert any(name in line and reason in line for line in lines)


def test_huge_image_is_refused_before_its_pixels_are_read(strange_faces):
    with pytest.raises(ImageReadError, match=r"400000000 pixels, more than 67108864; reduce"):
        decode(strange_faces / "test" / "anger" / "huge.bmp")


def refuse(number):
    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    return refused


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("command", ["evaluate", "cross-eval", "pack", "synth"])
def test_folder_that_cannot_be_written(
    monkeypatch, capfd, model, strange_faces, tmp_path, command, number
):
    out = tmp_path / "out"
    common = ("--bootstrap", 0, "--device", "cpu", "--quiet", "--out", out)
    words = {
        "evaluate": (
            model,
            "--dataset",
            "folder",
            "--root",
            strange_faces,
            "--split",
            "test",
            *common,
        ),
        "cross-eval": (model, "--on", f"folder={strange_faces}", *common),
        "pack": ("folder", strange_faces, "--out", out, "--size", 16),
        "synth": (out, "--count", 20, "--size", 24),
    }[command]
    for name in ("mkstemp", "mkdtemp"):
        monkeypatch.setattr(tempfile, name, refuse(number))
    group = ["data"] if command in ("pack", "synth") else []
    code, _, err = run(monkeypatch, capfd, *group, command, *words)
    assert code == 2
    last = err.splitlines()[-1]
    assert last.startswith(f"error: {os.strerror(number)}: {out}")
    assert "Traceback" not in err


def test_full_disk_names_the_file(monkeypatch, capfd, model, strange_faces, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        code, _, err = run(
            *(monkeypatch, capfd, "cross-eval", model, "--on", f"folder={strange_faces}"),
            *("--bootstrap", 0, "--device", "cpu", "--quiet", "--out", tmp_path / "out"),
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 2
    assert err == f"error: File too large: {tmp_path / 'out' / 'cross_eval.json'}\n"
    assert list((tmp_path / "out").iterdir()) == []


def test_packing_reserves_its_space_first(strange_faces, tmp_path):
    """Without it, a mapped file on a full disk would kill the process at the first write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    reader = get_reader("folder", strange_faces)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        with pytest.raises(OSError, match=r"\[Errno 27\]"):
            pack_dataset(reader, tmp_path / "packed", 64, quiet=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces"]


class Payload:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code of the file was run')",))


@pytest.mark.parametrize("name", ["model.safetensors", "text_bank.safetensors", "config.json"])
def test_pickle_in_a_model_folder_is_not_opened(model, tmp_path, name):
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_bytes(pickle.dumps(Payload()))
    with pytest.raises(Ke2ntError):
        load_model(tmp_path)
    with pytest.raises(Ke2ntError):
        TextBank.load(tmp_path / "absent")


def test_pickles_in_packed_data_are_not_opened(strange_faces, tmp_path):
    pack_dataset(get_reader("folder", strange_faces), tmp_path / "packed", 16, quiet=True)
    array = np.empty(1, dtype=object)
    array[0] = Payload()
    np.save(tmp_path / "packed" / "test.npy", array, allow_pickle=True)
    with pytest.raises(Ke2ntError, match="damaged"):
        get_reader("packed", tmp_path / "packed")


def test_model_of_a_stranger_writes_nothing(model, tmp_path):
    """Loading follows no names that lead out of the folder, and writes nothing."""
    home = tmp_path / "stranger"
    home.mkdir()
    for path in model.iterdir():
        (home / path.name).write_bytes(path.read_bytes())
    text = (home / "config.json").read_text().replace('"digests": {', '"digests": {"../x": "1",')
    (home / "config.json").write_text(text)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    load_model(home)
    TextBank.load(home)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_prediction_facts_must_be_numbers(model):
    from ke2nt.predict.face_settings import FaceSettings

    stranger = load_model(model)
    stranger.card = {"predict": {"margin": "wide"}}
    with pytest.raises(CheckpointError, match="prediction settings of the model are damaged"):
        FaceSettings.from_model(stranger)
