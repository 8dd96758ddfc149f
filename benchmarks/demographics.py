"""One stage of training against two (attributes of people first), and how far groups are apart.

    python benchmarks/demographics.py [--out DIR] [--seeds 1 2] [key=value …]

Drawn faces with known gender, age and skin. The test split, whose people are in no other split, is
used for nothing but the reported metrics. "one stage, more epochs" has as many epochs as the two
stages together. `table.md` has the validation metrics, `groups.md` those of the test split.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from markdown_tables import format_mean, format_table
from training_rows import Row, make_parser, run_rows

from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.pack import pack_dataset
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.evaluation.groups import group_report
from ke2nt.models.load import load_model
from ke2nt.runtime.atomic import write_json, write_text
from ke2nt.training.run_directory import RunDirectory

ATTRIBUTES = ("gender", "age", "skin")
FIRST, SECOND = 6, 12  # epochs
STAGES = {
    "one stage": [f"optim.epochs={SECOND}"],
    "one stage, more epochs": [f"optim.epochs={FIRST + SECOND}"],
    "two stages": [
        f"optim.epochs={SECOND}",
        f"pretrain={{attributes: [{', '.join(ATTRIBUTES)}], epochs: {FIRST}}}",
    ],
}


def rows(seed: int) -> list[Row]:
    """The table's rows."""
    shared = [
        "data.name=packed",
        "data.options={}",
        "select={rule: last, every: 1000}",
        "model.attention={fusion: learned}",
    ]
    return [Row({"training": name}, [*shared, *changes]) for name, changes in STAGES.items()]


def compute_test_metrics(folder: Path, faces: Path) -> dict[str, float]:
    """Compute the accuracy on the test split, and the gaps between its groups."""
    split = get_reader("packed", faces).load("test")
    result = evaluate_model(load_model(folder), split, bootstrap=0)
    metrics = {"accuracy": result.report.accuracy, "uar": result.report.uar}

    for name in ATTRIBUTES:
        report = group_report(result.predictions, split, name, bootstrap=0)
        if report.gap is not None:
            metrics[f"gap by {name}"] = report.gap
            metrics[f"odds by {name}"] = max(report.odds.values())
    return metrics


def write_group_table(out: Path, faces: Path, seeds: list[int]) -> None:
    """Write `groups.json` and `groups.md` of the finished runs."""
    results: list[dict[str, Any]] = []
    columns: list[str] = []
    table: list[list[str]] = []
    for row in rows(0):
        finished = [seed for seed in seeds if RunDirectory(row.folder(out, seed)).finished]
        runs = [compute_test_metrics(row.folder(out, seed), faces) for seed in finished]
        if not runs:
            continue

        # one line: mean and deviation over the seeds
        columns = columns or [*row.names, "seeds", *runs[0]]
        means = [format_mean([run[name] for run in runs], digits=1) for name in runs[0]]
        table.append([*row.names.values(), ", ".join(map(str, finished)), *means])
        results += [
            {**row.names, "seed": seed, **run} for seed, run in zip(finished, runs, strict=True)
        ]

    write_json(out / "groups.json", results)
    write_text(out / "groups.md", format_table(columns, table))


if __name__ == "__main__":
    parser = make_parser(__doc__, config="quickstart", out="runs/demographics")
    parser.add_argument("--size", type=int, default=64, help="side of the faces, pixels")
    arguments = parser.parse_args([*sys.argv[1:], "--root", "drawn"])
    arguments.root = arguments.out / "faces"
    if not arguments.root.is_dir():
        drawn = get_reader("drawn", None, count=2400, seed=7, min_intensity=0.6)
        pack_dataset(drawn, arguments.root, arguments.size)
    arguments.overrides.append(f"model.image_size={arguments.size}")
    run_rows(rows, arguments)
    write_group_table(arguments.out, arguments.root, arguments.seeds)
