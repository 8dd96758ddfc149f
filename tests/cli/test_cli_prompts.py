"""`ke2nt prompts rank | search | compare | geometry`, on drawn faces and an untrained model."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from command_line import run_ke2nt
from typer.testing import CliRunner

from ke2nt.banks.text_bank import TextBank
from ke2nt.cli.prompts import app
from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation.embed_split import embed_split
from ke2nt.models.ke2nt import KE2NT
from ke2nt.prompts.prompt_set import PromptSet

DATA = ["--dataset", "drawn", "--option", "count=160", "--option", "size=32"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab") / "a model"
    torch.manual_seed(3)
    KE2NT(TextBank.build("paper"), backbone="test_resnet", image_size=32).save_pretrained(folder)
    return folder


@pytest.fixture
def options(model):
    cache = str(model.parent / "cache")
    return ["--encoder", f"run:{model}", *DATA, "--cache-dir", cache, "--bootstrap", "50"]


def run(*words):
    """Run a command in this process; return what it prints on stdout."""
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_rank_through_the_entry_point(tmp_path, options):
    done = run_ke2nt(
        "prompts", "rank", *options, "--split", "val", "--prompts", "simple,paper",
        "--out", "r", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""

    # stdout and the file hold the same document
    found = json.loads(done.stdout)
    assert found == json.loads((tmp_path / "r" / "rank.json").read_text())
    assert (found["dataset"], found["split"], found["n"]) == ("drawn", "val", 32)
    assert {entry["text"] for entry in found["entries"] if entry["kind"] == "set"} == {
        "simple",
        "paper",
    }
    assert len(list((tmp_path / "r").glob("rank_*.png"))) == 3

    # the table has a row for each entry
    words = ["--table", str(tmp_path / "r.csv"), "--figures", str(tmp_path)]
    table = run("rank", *options, "--split", "val", "--prompts", "simple,paper", *words)
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert [float(row["uar"]) for row in rows] == [entry["uar"] for entry in found["entries"]]
    assert (tmp_path / "rank_recall.pdf").read_bytes().startswith(b"%PDF")
    assert "a photo of a {class} face." in table
    assert "Recall of each class" in table


def test_search_writes_a_set_that_compare_scores_the_same(tmp_path, options, model):
    splits = ["--split", "train", "--final-split", "val"]
    search = ["search", *options, *splits, "--prompts", "simple,paper", "--name", "better"]
    found = json.loads(run(*search, "--out", str(tmp_path), "--json"))
    again = json.loads(run(*search, "--out", str(tmp_path / "again"), "--json"))
    assert found == again

    # the same command gives the same files
    path = tmp_path / "better.yaml"
    assert path.read_text() == (tmp_path / "again" / "better.yaml").read_text()
    assert json.loads((tmp_path / "search.json").read_text()) == found
    assert {file.name for file in tmp_path.glob("*.png")} == {"search.png", "search_classes.png"}

    # `compare` scores the new set as the search did
    selected = found["contenders"][0]
    for split, figures in (("train", selected["selection"]), ("val", selected["final"])):
        words = ["compare", str(path), "simple", *options, "--split", split, "--json"]
        assert json.loads(run(*words))["first"]["recall"] == figures["recall"]

    # and so do plain cosines
    faces = get_reader("drawn", None, count=160, size=32).load("val")
    images = embed_split(f"run:{model}", faces, cache_dir=model.parent / "cache")
    bank = TextBank.build(PromptSet.load(path), images.text_encoder)
    right = (images.embeddings @ bank.embeddings.numpy().T).argmax(axis=1) == images.labels
    assert np.mean(right) == pytest.approx(selected["final"]["accuracy"])

    words = ["--table", str(tmp_path / "s.csv")]
    table = run(*search, "--out", str(tmp_path), "--share", "templates", "--beam", "2", *words)
    assert (tmp_path / "s.csv").read_text().count("\n") == 4
    assert (tmp_path / "s-prompts.csv").exists()
    assert "templates chosen" in table
    assert PromptSet.load(path).templates


def test_compare_and_geometry_print_tables_and_draw(tmp_path, options):
    out = tmp_path / "out"
    words = ["simple", "paper", *options, "--split", "val", "--limit", "16", "--out", str(out)]
    text = run("compare", *words, "--table", str(tmp_path / "c.tex"))
    assert "metric & images & simple" in (tmp_path / "c.tex").read_text()
    assert "McNemar" in text
    assert "paper %" in text
    assert json.loads((out / "compare.json").read_text())["n"] == 16
    paper = ["--table", str(tmp_path / "g.md"), "--figures", str(tmp_path)]
    text = run("geometry", "simple", "--out", str(out), "--threshold", "0.7", *paper)
    assert "| neutral | " in (tmp_path / "g-similarity.md").read_text()
    assert (tmp_path / "geometry.pdf").exists()
    assert "Near-duplicates" in text
    (trained,) = [word for word in options if word.startswith("run:")]
    same = run("geometry", "simple", "--encoder", trained, "--threshold", "1")
    assert text.splitlines()[0] == same.splitlines()[0]  # the run was trained with minilm
    assert "no near-duplicate prompts" in same
    assert json.loads((out / "geometry.json").read_text())["threshold"] == 0.7
    assert {file.name for file in out.glob("*.png")} == {"compare.png", "geometry.png"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["compare", "simple", "paper", *DATA, "--split", "val"], "--encoder"),
        (
            ["search", "--encoder", "run:x", "--prompts", "simple", *DATA, "--split", "val",
             "--final-split", "val", "--out", "o"],
            "--final-split",
        ),
        (["rank", "--encoder", "run:x", "--prompts", "simpel", *DATA, "--split", "val"], "simple"),
        (["geometry", "simple", "--threshold", "2"], "threshold"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line_and_exit_code_2(tmp_path, words, expected):
    done = run_ke2nt("prompts", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert expected in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.glob("o")) == []
