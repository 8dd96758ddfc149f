"""`ke2nt zero-shot` with several models, prompt sets and datasets makes one table."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from trust_fixtures import draw_faces, run_here

from ke2nt.banks.text_bank import TextBank
from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation import zero_shot_matrix
from ke2nt.evaluation.zero_shot import zero_shot
from ke2nt.models.ke2nt import KE2NT


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "one"
    torch.manual_seed(3)
    KE2NT(TextBank.build("paper"), backbone="test_resnet", image_size=24).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return draw_faces(tmp_path_factory.mktemp("faces"), per_class=3)


@pytest.fixture
def run(monkeypatch, capfd, tmp_path):
    def call(*words):
        fixed = ("--device", "cpu", "--bootstrap", "20", "--cache-dir", tmp_path / "cache")
        return run_here(monkeypatch, capfd, "zero-shot", *words, *fixed, "--quiet")

    return call


def test_one_table_of_everything(run, model, faces, tmp_path):
    out, table = tmp_path / "out", tmp_path / "t.csv"
    code, text, err = run(
        *("--encoder", f"run:{model}", "--encoder", f"run:{tmp_path / 'absent'}"),
        *("--prompts", "simple,paper", "--on", f"folder={faces},split=val,as=mine"),
        *("--on", f"folder={faces},split=train", "--on", f"rafdb={faces}"),
        *("--out", out, "--table", table, "--figures", out, "--figure-format", "svg"),
    )
    assert code == 1

    # 2 models x 2 prompt sets x 3 datasets; what failed keeps its row
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 12
    done = [row for row in rows if row["uar"]]
    assert [(row["prompts"], row["dataset"]) for row in done] == [
        ("simple", "mine"), ("paper", "mine"), ("simple", "folder train"), ("paper", "folder train")
    ]  # fmt: skip
    for row in done[1:3]:
        split = get_reader("folder", faces).load("val" if row["dataset"] == "mine" else "train")
        options = {"bootstrap": 20, "cache_dir": tmp_path / "cache"}
        report = zero_shot(f"run:{model}", row["prompts"], split, **options).evaluation.report
        assert float(row["uar"]) == report.uar
        assert float(row["uar_low"]) == report.intervals["uar"][0]

    # every failure is named once, with its reason
    assert err.count("failed: ") == 2
    assert f"one with simple on rafdb, run:{model} with paper on rafdb: " in err
    assert "does not have the layout of rafdb" in rows[4]["error"]
    found = json.loads((out / "zero_shot.json").read_text())
    assert [cell["error"] is None for cell in found["cells"]] == [bool(r["uar"]) for r in rows]
    assert found["cells"][0]["uar"] == float(rows[0]["uar"])
    page = (out / "report.html").read_text(encoding="utf-8")
    assert f"{100 * float(rows[0]['uar']):.1f} (" in page
    assert (out / "zero_shot.svg").exists()
    assert "labels: label sets agree" in text


def test_images_are_embedded_once_for_all_prompts(run, model, faces, monkeypatch):
    calls = []
    plain = zero_shot_matrix.embed_split
    monkeypatch.setattr(
        zero_shot_matrix, "embed_split", lambda *a, **k: calls.append(1) or plain(*a, **k)
    )
    words = ["--encoder", f"run:{model}", "--dataset", "folder", "--root", faces, "--split", "val"]
    code, out, _ = run(*words, "--prompts", "simple,ensemble,facs", "--json")
    assert code == 0
    assert [cell["prompts"] for cell in json.loads(out)["cells"]] == ["simple", "ensemble", "facs"]
    assert len(calls) == 1


def test_one_dataset_by_on_has_the_report_of_one(run, model, faces):
    words = ["--encoder", f"run:{model}", "--prompts", "simple", "--json"]
    one = run(*words, "--on", f"folder={faces},split=val")
    same = run(*words, "--dataset", "folder", "--root", faces, "--split", "val")
    assert one == same
    assert json.loads(one[1])["dataset"] == "folder"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--prompts", "simple,papr", "--on", "drawn"], "Did you mean 'paper'"),
        (["--prompts", "simple", "--on", "drwn"], "Did you mean 'drawn'"),
        (["--prompts", "simple"], "expected --dataset NAME --split SPLIT, or --on NAME=DIR"),
        (["--prompts", "simple", "--dataset", "drawn"], "no dataset is named"),
        (["--prompts", "simple", "--on", "drawn", "--limit", "3"], "--on cannot be combined"),
        (["--prompts", "simple,simple", "--on", "drawn"], "two prompt sets have the same name"),
        (["--prompts", "simple", "--on", "drawn", "--table", "t.txt"], "expected .csv, .tex, .md"),
    ],
)
def test_names_are_checked_before_any_work(run, model, words, text):
    code, out, err = run("--encoder", f"run:{model}", *words)
    assert (code, out) == (2, "")
    assert text in err
