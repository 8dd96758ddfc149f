"""`ke2nt few-shot`: tables, files, continuing, saved models in other commands, wrong input."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from trust_fixtures import run_here

from ke2nt.banks.text_bank import TextBank
from ke2nt.fewshot import train_adapter as training
from ke2nt.models.ke2nt import KE2NT

NAMES = "zero-shot,tip-adapter,ke2nt-adapter"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "one"
    torch.manual_seed(3)
    KE2NT(TextBank.build("paper"), backbone="test_resnet", image_size=24).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Each class is bright in another place; contempt has two images."""
    root = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for k, name in enumerate(("neutral", "happiness", "anger", "contempt")):
            (root / split / name).mkdir(parents=True)
            for i in range(2 if name == "contempt" else 5):
                pixels = rng.integers(0, 140, (24, 24, 3), "u1")
                pixels[6 * k : 6 * k + 6] += 100
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return root


@pytest.fixture
def run(monkeypatch, capfd, tmp_path, model, faces):
    monkeypatch.setattr(training, "_MIN_STEPS", 5)
    monkeypatch.setattr(training, "_EPOCHS", 1)

    def call(*words, out=tmp_path / "out"):
        fixed = ["--encoder", f"run:{model}", "--dataset", "folder", "--root", faces, "--out", out]
        fixed += ["--device", "cpu", "--bootstrap", "20", "--cache-dir", tmp_path / "cache"]
        return run_here(monkeypatch, capfd, "few-shot", *fixed, "--quiet", *words)

    return call


def test_table_files_and_models(run, tmp_path, monkeypatch, capfd, faces):
    out, table = tmp_path / "out", tmp_path / "t.csv"
    words = ("--methods", NAMES, "--shots", "1,2", "--seeds", "1")
    code, text, err = run(*words, "--table", table)
    assert (code, err) == (0, "")
    assert "validation images: split val of folder" in text
    rows = list(csv.DictReader(table.open()))
    assert [(row["method"], row["shots"], row["seeds"]) for row in rows] == [
        ("zero-shot", "0", "1"), ("tip-adapter", "1", "1"), ("tip-adapter", "2", "1"),
        ("ke2nt-adapter", "1", "1"), ("ke2nt-adapter", "2", "1"),
    ]  # fmt: skip
    found = json.loads((out / "few_shot.json").read_text())
    assert float(rows[1]["uar"]) == found["rows"][1]["uar"]["mean"]
    assert len(found["cells"]) == 5
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "alpha" in page
    assert "validation UAR" in page
    assert "<h3>Recall of each class, percent</h3>" in page
    assert "anger %" not in page
    assert (out / "few_shot.png").read_bytes().startswith(b"\x89PNG")
    names = ["ke2nt-adapter-2-1", "tip-adapter-2-1", "zero-shot"]
    assert sorted(path.name for path in (out / "models").iterdir()) == names

    # again: everything is there, also what another selection saves
    monkeypatch.setattr("ke2nt.fewshot.experiment.METHODS", {})
    code, again, _ = run(*words, "--save-models", "all", "--json")
    assert code == 0
    assert json.loads(again)["cells"] == found["cells"]
    assert len(list((out / "models").iterdir())) == 5

    # every command takes a saved model
    photo, folder = faces / "test" / "anger" / "0.png", out / "models" / "ke2nt-adapter-2-1"
    data = ("--dataset", "folder", "--root", faces, "--split", "test", "--quiet")
    code, text, _ = run_here(monkeypatch, capfd, "evaluate", folder, *data, "--json")
    assert code == 0
    cell = next(c for c in found["cells"] if (c["method"], c["shots"]) == ("ke2nt-adapter", 2))
    assert json.loads(text)["accuracy"] == cell["accuracy"]
    words = ("predict", photo, "--model", folder, "--no-detect", "--json")
    code, text, _ = run_here(monkeypatch, capfd, *words)
    assert code == 0
    assert "anger" in text
    words = ("explain", folder, photo, "--out", tmp_path / "why", "--no-detect", "--quiet")
    assert run_here(monkeypatch, capfd, *words)[0] == 0


def test_the_default_splits(run, faces, tmp_path):
    code, text, _ = run("--methods", "tip-adapter", "--shots", "1", "--seeds", "1", "--json")
    found = json.loads(text)
    assert code == 0
    assert (found["train_split"], found["validation_split"], found["split"]) == (
        "train", "val", "test"
    )  # fmt: skip
    words = ("--methods", "tip-adapter", "--shots", "all", "--seeds", "1", "--split", "val")
    code, text, _ = run(*words, "--hold-out", "contempt", "--json", out=tmp_path / "other")
    found = json.loads(text)
    assert code == 0
    assert found["classes"] == ["neutral", "happiness", "anger"]
    assert found["validation_split"] is None
    assert found["n"] == 15


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods", "tip-adaptr"], "unknown few-shot method 'tip-adaptr'"),
        (["--shots", "1,x"], "--shots is not valid"),
        (["--seeds", "a"], "--seeds is not valid"),
        (["--prompts", "papr"], "Did you mean 'paper'"),
        (["--split", "tset"], "folder has no split 'tset'"),
        (["--split", "train"], "different images; found split train twice"),
        (["--val-split", "test"], "different images; found split test twice"),
        (["--encoder", "run:nowhere"], "no saved model"),
        (["--encoder", "opn_clip:x"], "unknown image encoder"),
        (["--shots", "3"], "too few samples for 3 shots (in folder train); expected 3 or more of "),
        (["--hold-out", "contemt"], "cannot hold out 'contemt'"),
        (["--table", "t.xyz"], "expected .csv, .tex, .md"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(run, tmp_path, words, message):
    code, text, err = run(*words)
    assert (code, text) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
