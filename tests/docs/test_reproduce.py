"""The commands of docs/reproduce.md run in their order, on a miniature of RAF-DB."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest
from command_line import run_lines
from reader_trees import write_rafdb

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)
    for line in block.replace("\\\n", " ").splitlines()
]
SMALL = (
    "model.weights=null model.backbone=test_resnet model.backbone_options={} model.image_size=32 "
    "text.encoder=minilm optim.epochs=1 optim.batch_size=14 data.workers=0 device=cpu"
)


def small(line):
    """The same command without downloads, for a minute less."""
    line = line.replace("DIR", "rafdb").replace("open_clip:ViT-B-16/openai", "minilm")
    if line.startswith("ke2nt train"):
        line = line.replace("model.weights=FACE_WEIGHTS.pth", SMALL)
    if line.startswith(("ke2nt evaluate", "ke2nt cross-eval")):
        line += " --bootstrap 20 --device cpu"
    return line


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduce")
    counts = {"train": 42, "test": 14}
    lines = [
        f"{split}_{i:05d}.jpg {i % 7 + 1}" for split, count in counts.items() for i in range(count)
    ]
    write_rafdb(folder / "rafdb", lines)

    # one training is enough for both runs
    *before, first, _second, evaluate, cross = map(small, COMMANDS)
    run_lines([*before, first], folder)
    shutil.copytree(folder / "runs" / "ke2nt-1", folder / "runs" / "optimistic")
    run_lines([evaluate, cross], folder)
    return folder


def test_every_step_has_commands():
    assert [line.split()[1] for line in COMMANDS] == [
        "data", "data", "cache", "train", "train", "evaluate", "cross-eval"
    ]  # fmt: skip


def test_tables_and_figures_are_those_of_the_page(done):
    named = re.findall(r"`((?:rafdb|both)[\w-]*\.tex)`", PAGE)
    assert len(named) == 5
    for name in named:
        assert (done / name).read_text().count(r"\\") >= 2
    (row,) = csv.DictReader((done / "rafdb.csv").open())
    assert (row["n"], row["num_classes"]) == ("14", "7")
    assert len(list(csv.DictReader((done / "both.csv").open()))) == 2
    assert {"confusion.pdf", "curves.pdf"} <= {path.name for path in (done / "figures").iterdir()}
