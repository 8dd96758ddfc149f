"""`ke2nt explain`: heat maps, facts and errors."""

import json

import numpy as np
import pytest
import torch
from command_line import run_ke2nt
from trust_fixtures import run_here

from ke2nt.banks.text_bank import TextBank
from ke2nt.data.images import decode
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.linear import LinearClassifier
from ke2nt.plots.figure import encode_png

CLASSES = ("neutral", "happiness", "anger")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two models and three files, one of which is not an image."""
    folder = tmp_path_factory.mktemp("explain")
    torch.manual_seed(0)
    bank = TextBank.build("paper", classes=CLASSES)
    KE2NT(bank, "test_resnet", 48, attention={}).save_pretrained(folder / "deep")
    LinearClassifier(CLASSES, "test_resnet", 48).save_pretrained(folder / "plain")
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for name in ("a", "b"):
        pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        (folder / "photos" / f"{name}.png").write_bytes(encode_png(pixels))
    (folder / "photos" / "c.png").write_bytes(b"not a picture")
    return folder


@pytest.fixture
def explain(monkeypatch, capfd, place):
    def explain(model, *extra, photos="photos"):
        arguments = [place / model, place / photos, "--no-detect", *extra]
        return run_here(monkeypatch, capfd, "explain", *arguments)

    return explain


def test_heat_maps_and_facts(place, tmp_path):
    arguments = [place / "deep", place / "photos", "--no-detect", "--out", tmp_path / "why"]
    arguments += ["--method", "attention", "--method", "occlusion", "--json"]
    done = run_ke2nt("explain", *arguments)
    assert done.returncode == 0, done.stderr

    # one of the three files is unreadable, the others are explained by both methods
    value = json.loads(done.stdout)
    assert [row["source"].rsplit("/")[-1] for row in value["faces"]] == ["a.png", "b.png"]
    assert value["unreadable"][0]["name"].endswith("c.png")
    assert "c.png" in done.stderr

    files = [name for row in value["faces"] for name in row["files"]]
    assert len(files) == len(set(files)) == 4
    for row in value["faces"]:
        assert list(row["scores"]) == [row["answer"]]
        for name in row["files"]:
            assert decode(tmp_path / "why" / name).shape == (224, 224, 3)
    assert decode(tmp_path / "why" / "sheet.png").shape[1] > 600
    written = {p.name for p in (tmp_path / "why").iterdir()}
    assert written == {*files, "sheet.png", "explanations.json"}


def test_targets_are_phrases_or_classes(explain, tmp_path, monkeypatch):
    words = TextBank.build("paper", classes=["surprise"])  # in the shipped bank: no text model
    monkeypatch.setattr(
        "ke2nt.predict.custom_classes.build_class_bank", lambda model, own, names, encoder: words
    )
    code, out, err = explain(
        "deep", "--target", "raised inner brows", "--target", "anger", "--out", tmp_path, "--json"
    )
    assert code == 0, err
    for row in json.loads(out)["faces"]:
        assert list(row["scores"]) == ["raised inner brows", "anger"]
        assert "occlusion.raised-inner-brows.png" in row["files"][0]


@pytest.mark.parametrize(
    ("model", "extra", "words"),
    [
        ("plain", ["--target", "raised inner brows"], "no class 'raised inner brows'"),
        ("plain", ["--method", "attention"], "no spatial attention"),
        ("deep", ["--method", "gradcan"], "unknown method"),
        ("nowhere", [], "no saved model"),
    ],
)
def test_errors_are_one_line(explain, tmp_path, model, extra, words):
    code, _, err = explain(model, *extra, "--out", tmp_path / "why")
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "why").exists()


def test_error_if_there_is_nothing_to_explain(explain, tmp_path):
    code, _, err = explain("deep", "--out", tmp_path / "why", photos="photos/c.png")
    assert code == 2
    assert "there is no face to explain" in err
    assert "c.png" in err
