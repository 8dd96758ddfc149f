"""`ke2nt finetune` on class folders as people have them, through the entry point."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from command_line import run_ke2nt
from PIL import Image

from ke2nt.banks.text_bank import TextBank
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.load import load_model
from ke2nt.training.finetune import describe_classes, describe_copies

FAST = ("device=cpu", "precision=fp32", "optim.epochs=2")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small model that knows five words, and folders without splits, one image broken."""
    place = tmp_path_factory.mktemp("mine")
    words = ["neutral", "happiness", "anger", "sadness", "in_pain"]
    rows = np.random.default_rng(0).normal(size=(5, 16)).astype("float32")
    torch.manual_seed(0)
    bank = TextBank.from_tensors(
        torch.from_numpy(rows), classes=words, neutral_index=0, logit_scale=20.0
    )
    KE2NT(bank, "test_resnet", 24).save_pretrained(place / "model")

    rng = np.random.default_rng(1)
    for label, name in enumerate(("angry", "Happy", "in_pain")):
        folder = place / "faces" / name
        folder.mkdir(parents=True)
        for i in range(8):
            pixels = rng.integers(0, 90, (24, 24, 3), dtype=np.uint8)
            pixels[8 * label : 8 * label + 8] += 150
            Image.fromarray(pixels).save(folder / f"{i}.png")
    (place / "faces" / "angry" / "broken.png").write_bytes(b"no image")
    return place


def test_class_folders_without_splits(place):
    done = run_ke2nt("finetune", "faces", "--start", "model", *FAST, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "classes: happiness (Happy), anger (angry), in_pain (your word)" in done.stdout
    assert "recall of in_pain" in done.stdout
    assert "next: ke2nt predict photo.jpg --model runs/faces" in done.stdout
    assert "unreadable: angry/broken.png" in done.stderr
    assert load_model(place / "runs" / "faces").classes == ("happiness", "anger", "in_pain")
    assert not (place / "runs" / "faces" / "checkpoints").exists()


def test_json_and_options(place):
    words = ["--start", "model", "--out", "mine", "--epochs", "1", "--keep", "--json"]
    done = run_ke2nt("finetune", "faces", *words, *FAST[:2], cwd=place)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["run"] == "mine"
    assert facts["folders"] == {
        "happiness": ["Happy"],
        "anger": ["angry"],
        "in_pain": ["in_pain"],
    }
    assert facts["unreadable"].keys() == {"angry/broken.png"}
    assert facts["notes"] == []
    assert 0 <= facts["before"]["accuracy"] <= 1
    assert (place / "mine" / "checkpoints").is_dir()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nowhere",), "no folder of images (in nowhere)"),
        (("faces", "--start", "nothing/here/x"), "no saved model"),
        (("faces", "optim.epocs=3"), "did you mean optim.epochs"),
        (("faces/angry", "--start", "model"), "does not have the layout of folder"),
        (("faces", "--start", "model", "model.image_size=32"), "model.image_size differs"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(place, words, text):
    done = run_ke2nt("finetune", *words, "--out", "wrong", cwd=place)
    assert done.returncode == 2
    assert text in done.stderr
    lines = done.stderr.strip().splitlines()  # a reader may warn of class names first
    assert [line.split(":")[0] for line in lines if not line.startswith("warning:")] == ["error"]
    assert not (place / "wrong").exists()


def test_words_are_described_with_the_expression_they_resemble():
    folders = {"anger": ("angry", "mad"), "fear": ("fear",), "hapiness": ("hapiness",)}
    assert describe_classes(folders) == [
        "anger (angry, mad)",
        "fear",
        "hapiness (your word; did you mean happiness?)",
    ]


@pytest.mark.parametrize(("digests", "copies"), [("aca", "2 of the 3 validation"), ("cde", None)])
def test_copies_of_training_images_are_counted(tmp_path, digests, copies):
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "training_images.json").write_text(json.dumps({"digests": ["a", "b"]}))
    images = SimpleNamespace(split=range(3), pixel_digests=lambda: list(digests))
    run = SimpleNamespace(path=tmp_path)
    note = describe_copies(SimpleNamespace(run=run, data=SimpleNamespace(val=images)))
    assert (note and note[: len("2 of the 3 validation")]) == copies
