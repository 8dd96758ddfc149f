"""A model on FER+ validation as it is and under every corruption, and on drawn faces.

    python benchmarks/robustness.py --root DIR [--model ke2nt/ferplus-resnet18] [--out DIR]

Rule `majority`, 3,199 faces, nine kinds × five severities, one seed; drawn faces are the test split
of seed 0 in two styles. Each row is kept in OUT/table.json as soon as it is measured, and is not
measured again; OUT/table.md is made from them. About 20 minutes of one CPU core for a ResNet-18.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

from ke2nt.data.corruption import KINDS, corrupt
from ke2nt.data.sample import FaceSplit
from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.evaluation.robustness import LEVELS, METRICS, decode_to_memory
from ke2nt.models.load import load_model
from ke2nt.runtime.atomic import write_json, write_text

DRAWN = {
    "drawn faces": {},
    "drawn faces, strong expressions": {"min_intensity": 0.8},
}


def main() -> None:
    """Measure what is not measured yet, a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="folder of FER+")
    parser.add_argument("--model", default="ke2nt/ferplus-resnet18")
    parser.add_argument("--out", type=Path, default=Path("runs/robustness"))
    args = parser.parse_args()
    table = args.out / "table.json"
    rows: list[dict[str, Any]] = json.loads(table.read_text()) if table.exists() else []
    model = load_model(args.model)
    done = {(row["data"], row["severity"]) for row in rows}

    def measure(data: str, severity: int, split: FaceSplit) -> None:
        if (data, severity) in done:
            return
        report = evaluate_model(model, split).report
        rows.append(
            {
                "data": data,
                "severity": severity,
                "n": report.n,
                **{name: getattr(report, name) for name in METRICS},
                "intervals": {name: list(ends) for name, ends in report.intervals.items()},
            }
        )
        write_json(table, rows)
        write_text(args.out / "table.md", _table(rows))
        print(json.dumps(rows[-1]), flush=True)

    faces = decode_to_memory(get_reader("ferplus", args.root, rule="majority").load("val"))
    measure("FER+ val", 0, faces)
    for name, options in DRAWN.items():
        measure(name, 0, get_reader("drawn", count=8000, seed=0, **options).load("test"))
    for kind in KINDS:
        for severity in LEVELS:
            measure(kind, severity, corrupt(faces, kind, severity))


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| data | n | WAR % | UAR % | macro-F1 % | ECE % |", "|---|---|---|---|---|---|"]
    for row in rows:
        if row["severity"] == 0:
            figures = " | ".join(f"{100 * row[name]:.1f}" for name in METRICS)
            lines.append(f"| {row['data']} | {row['n']} | {figures} |")
    head = " | ".join(f"{s}" for s in LEVELS)
    for figure, title in (("accuracy", "WAR %"), ("uar", "UAR %"), ("ece", "ECE %")):
        lines += ["", f"| {title} at severity | {head} | mean |", "|---" * 7 + "|"]
        found = {(r["data"], r["severity"]): 100 * r[figure] for r in rows if r["severity"]}
        kinds = [k for k in KINDS if all((k, s) in found for s in LEVELS)]
        for kind in kinds:
            values = [found[kind, s] for s in LEVELS]
            lines.append(_line(kind.replace("_", " "), values))
        if kinds:
            lines.append(_line("mean", [fmean(found[k, s] for k in kinds) for s in LEVELS]))
    return "\n".join(lines) + "\n"


def _line(name: str, values: list[float]) -> str:
    return "| " + " | ".join([name, *(f"{v:.1f}" for v in [*values, fmean(values)])]) + " |"


if __name__ == "__main__":
    main()
