"""A model on FER+ validation, clean and under every corruption, and on drawn faces.

    python benchmarks/robustness.py --root DIR [--model ke2nt/ferplus-faces] [--out DIR]

Rule `majority`, 3,199 faces, nine kinds × five severities, one seed; drawn faces are the test split
of seed 0 in two styles. Each row is kept in OUT/table.json once it is measured, and is not
measured again; OUT/table.md is written from them. About 20 minutes of one CPU core for a ResNet-18.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from markdown_tables import format_table

from ke2nt.data.corruption import KINDS, corrupt
from ke2nt.data.sample import FaceSplit
from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.evaluation.robustness import LEVELS, METRICS, decode_to_memory
from ke2nt.models.base import ExpressionModel
from ke2nt.models.load import load_model
from ke2nt.runtime.atomic import write_json, write_text

DRAWN = {
    "drawn faces": {},
    "drawn faces, strong expressions": {"min_intensity": 0.8},
}


class Table:
    """Measured rows, kept in `table.json` and `table.md`."""

    def __init__(self, folder: Path, model: ExpressionModel) -> None:
        self.folder = folder
        self.model = model
        self.path = folder / "table.json"
        self.rows: list[dict[str, Any]] = []
        if self.path.exists():
            self.rows = json.loads(self.path.read_text())

    def measure(self, data: str, severity: int, load: Callable[[], FaceSplit]) -> None:
        """Measure a split, unless that has been done."""
        if any((row["data"], row["severity"]) == (data, severity) for row in self.rows):
            return

        report = evaluate_model(self.model, load()).report
        row = {
            "data": data,
            "severity": severity,
            "n": report.n,
            **{name: getattr(report, name) for name in METRICS},
            "intervals": {name: list(ends) for name, ends in report.intervals.items()},
        }
        self.rows.append(row)
        write_json(self.path, self.rows)
        write_text(self.folder / "table.md", format_rows(self.rows))
        print(json.dumps(row), flush=True)


def format_rows(rows: list[dict[str, Any]]) -> str:
    """Format one table of clean data, and one of each metric under corruption."""
    clean = [
        [row["data"], str(row["n"]), *(f"{100 * row[name]:.1f}" for name in METRICS)]
        for row in rows
        if row["severity"] == 0
    ]
    tables = [format_table(["data", "n", "WAR %", "UAR %", "macro-F1 %", "ECE %"], clean)]

    for metric, title in (("accuracy", "WAR %"), ("uar", "UAR %"), ("ece", "ECE %")):
        columns = [f"{title} at severity", *map(str, LEVELS), "mean"]
        tables.append(format_table(columns, format_corruptions(rows, metric)))
    return "\n".join(tables)


def format_corruptions(rows: list[dict[str, Any]], metric: str) -> list[list[str]]:
    """Format a metric of each corruption measured at all severities, and their mean."""
    values = {(row["data"], row["severity"]): 100 * row[metric] for row in rows}
    kinds = [kind for kind in KINDS if all((kind, level) in values for level in LEVELS)]

    lines = [
        format_line(kind.replace("_", " "), [values[kind, level] for level in LEVELS])
        for kind in kinds
    ]
    if kinds:
        means = [fmean(values[kind, level] for kind in kinds) for level in LEVELS]
        lines.append(format_line("mean", means))
    return lines


def format_line(name: str, values: list[float]) -> list[str]:
    return [name, *(f"{value:.1f}" for value in [*values, fmean(values)])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="folder of FER+")
    parser.add_argument("--model", default="ke2nt/ferplus-faces")
    parser.add_argument("--out", type=Path, default=Path("runs/robustness"))
    args = parser.parse_args()

    table = Table(args.out, load_model(args.model))
    faces = decode_to_memory(get_reader("ferplus", args.root, rule="majority").load("val"))
    table.measure("FER+ val", 0, lambda: faces)

    for name, options in DRAWN.items():
        reader = get_reader("drawn", None, {"count": 8000, "seed": 0, **options})
        table.measure(name, 0, partial(reader.load, "test"))

    for kind in KINDS:
        for severity in LEVELS:
            table.measure(kind, severity, partial(corrupt, faces, kind, severity))


if __name__ == "__main__":
    main()
