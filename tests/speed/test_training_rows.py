"""What the training benchmarks share: rows that are done are kept, and the table is true."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path

import pytest

from ke2nt.runtime.atomic import write_json

PLACE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def rows(monkeypatch):
    """benchmarks/training_rows.py as a module; the scripts beside it can be imported, too."""
    monkeypatch.syspath_prepend(str(PLACE))
    return importlib.import_module("training_rows")


def finished(folder, accuracy):
    """A run directory, as far as the table reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    classes = [{"recall": recall} for recall in (accuracy, None, accuracy - 0.1)]
    metrics = {"n": 9, "accuracy": accuracy, "uar": 0.5, "macro_f1": 0.4, "ece": 0.1}
    (folder / "metrics.json").write_text(json.dumps({**metrics, "per_class": classes}))
    (folder / "config.yaml").write_text("optim: {epochs: 2}")
    write_json(folder / "run.json", {"status": "finished", "seconds": 3, "best_epoch": 2})


def test_rows_are_trained_once_and_averaged_over_seeds(rows, tmp_path, capsys):
    trained = []

    def run_row(row, folder, seed, args):
        trained.append((row.names["head"], seed))
        finished(folder, {"text": 0.5, "linear": 0.7}[row.names["head"]] + 0.1 * seed)

    def table(*only, seeds=(1, 2)):
        args = argparse.Namespace(out=tmp_path / "out", seeds=list(seeds), only=list(only), jobs=1)
        found = [rows.Row({"labels": "5%", "head": head}, []) for head in ("text", "linear")]
        rows.run_rows(lambda seed: found, args, run_row=run_row)
        return (tmp_path / "out" / "table.md").read_text().splitlines()

    assert table("head=text", seeds=[1])[2:] == [
        "| 5% | text | 1 | 60.00 | 50.00 | 40.00 | 10.00 | 50.00 |"
    ]
    lines = table()
    assert trained == [("text", 1), ("linear", 1), ("text", 2), ("linear", 2)]
    assert lines[0] == "| labels | head | seeds | accuracy | uar | macro_f1 | ece | worst_recall |"
    spread = "± 7.07 | 50.00 ± 0.00 | 40.00 ± 0.00 | 10.00 ± 0.00 |"
    assert lines[2:] == [
        f"| 5% | text | 1, 2 | 65.00 {spread} 55.00 ± 7.07 |",
        f"| 5% | linear | 1, 2 | 85.00 {spread} 75.00 ± 7.07 |",
    ]
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["head"], row["seed"]) for row in printed[1:]] == trained
    assert len(json.loads((tmp_path / "out" / "table.json").read_text())) == 4


def test_row_counts_only_after_its_run_has_ended(rows, tmp_path):
    """Figures alone can be those of another job that is writing, or of one that was killed."""
    found = [rows.Row({"head": head}, []) for head in ("text", "linear")]
    begun = found[1].folder(tmp_path, 1)
    begun.mkdir()
    (begun / "metrics.json").write_text("{")
    write_json(begun / "run.json", {"status": "running"})
    tables = []

    def run_row(row, folder, seed, args):
        table = tmp_path / "table.md"
        tables.append(table.read_text().splitlines()[2:] if table.exists() else None)
        finished(folder, 0.5)

    args = argparse.Namespace(out=tmp_path, seeds=[1], only=[], jobs=1)
    rows.run_rows(lambda seed: found, args, run_row=run_row)
    line = "| {} | 1 | 50.00 | 50.00 | 40.00 | 10.00 | 40.00 |"
    assert tables == [None, [line.format("text")]]
    assert (tmp_path / "table.md").read_text().splitlines()[3] == line.format("linear")


def run_named_row(row, folder, seed, args):
    """Runs in a process of its own."""
    if row.names["head"] == "broken":
        raise ValueError("no such head")
    finished(folder, 0.5 + 0.1 * seed)


def test_failed_row_does_not_stop_the_others(rows, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    found = [rows.Row({"head": head}, []) for head in ("text", "broken", "linear")]
    args = argparse.Namespace(out=tmp_path, seeds=[1, 2], only=[], jobs=2)
    with pytest.raises(SystemExit, match=r"broken-seed1: no such head\n.*broken-seed2"):
        rows.run_rows(lambda seed: found, args, run_row=run_named_row)
    lines = (tmp_path / "table.md").read_text().splitlines()[2:]
    assert [line.split(" | ")[:2] for line in lines] == [["| text", "1, 2"], ["| linear", "1, 2"]]


@pytest.mark.parametrize("script", ["recipe", "where_language_helps", "fesgan_use"])
def test_every_row_is_a_valid_configuration(rows, script, tmp_path):
    """The overrides of each row of each table, as the scripts hand them to the configuration."""
    from ke2nt.config.gan import FesganConfig
    from ke2nt.config.load import load_config

    module = importlib.import_module(script)
    found = module.rows("small") if script == "recipe" else module.rows(tmp_path, 1)
    kind = (FesganConfig,) if script == "fesgan_use" else ()
    config = "fesgan_ferplus" if script == "fesgan_use" else "ferplus_resnet18"
    assert len({row.folder(tmp_path, 1) for row in found}) == len(found) >= 8
    for row in found:
        loaded = load_config(config, ["data.root=here", *row.overrides], *kind)
        assert loaded.select.rule == "last"
