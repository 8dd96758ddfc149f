"""KE2NT against a plain linear head: same backbone, data, budget and seeds; a row at a time.

    python benchmarks/ferplus_heads.py [key=value …] --root DIR [--out DIR] [--seeds 1 2]
    torchrun --nproc-per-node 2 benchmarks/ferplus_heads.py …

Rows that are done are kept, and one that was cut short is resumed, so the command can be repeated.
The table is written to `OUT/table.md` and `OUT/table.json` after every row. Figures are of the
epoch that was chosen on the validation split, on that split.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

from ke2nt.config.load import load_config
from ke2nt.runtime.atomic import write_json, write_text
from ke2nt.train.run import RunDirectory
from ke2nt.train.train import train

VARIANTS = {
    "KE2NT, published losses": ["model.head=text"],
    "KE2NT, similarity loss alone": [
        "model.head=text",
        "loss.transformation=0",
        "loss.self_contrast=0",
    ],
    "linear head, cross-entropy": ["model.head=linear"],
}
FIGURES = ("accuracy", "uar", "macro_f1", "ece")


def row(
    name: str, variant: list[str], seed: int, args: argparse.Namespace
) -> dict[str, Any] | None:
    """Figures of one run; trained, resumed or only read. None in all processes but the first."""
    folder = args.out / f"{name.replace(' ', '-').replace(',', '')}-seed{seed}"
    run = RunDirectory(folder)
    if not (folder / "metrics.json").exists():
        overrides = [f"data.root={args.root}", f"out={folder}", f"seed={seed}"]
        config = load_config(args.config, [*overrides, *args.overrides, *variant])
        train(config, resume=(folder / "config.yaml").exists(), quiet=args.quiet)
    if os.environ.get("RANK", "0") != "0":
        return None
    metrics = run.read("metrics.json")
    facts = run.read("run.json")
    return {
        "variant": name,
        "seed": seed,
        "seconds": facts["seconds"],
        "best_epoch": facts["best_epoch"],
        "n": metrics["n"],
        **{figure: metrics[figure] for figure in FIGURES},
        "worst_recall": min(c["recall"] for c in metrics["per_class"] if c["recall"] is not None),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: mean ± standard deviation over the seeds of each variant, in percent."""
    columns = [*FIGURES, "worst_recall"]
    lines = ["| variant | seeds | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for name in dict.fromkeys(r["variant"] for r in rows):
        chosen = [r for r in rows if r["variant"] == name]
        cells = []
        for column in columns:
            values = [100 * r[column] for r in chosen]
            spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.2f}{spread}")
        seeds = ", ".join(str(r["seed"]) for r in chosen)
        lines.append(f"| {name} | {seeds} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="folder of FER+")
    parser.add_argument("--out", type=Path, default=Path("runs/heads"))
    parser.add_argument("--config", default="ferplus_resnet18")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("overrides", nargs="*", help="key=value for every row")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        for name in args.variants:
            done = row(name, VARIANTS[name], seed, args)
            if done is None:
                continue
            rows.append(done)
            write_json(args.out / "table.json", rows)
            write_text(args.out / "table.md", table(rows))
            print(json.dumps(rows[-1]), flush=True)
    if rows:
        print(table(rows))


if __name__ == "__main__":
    main()
