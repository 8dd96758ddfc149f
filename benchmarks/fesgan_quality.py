"""How good synthetic faces are, judged by a recognizer that took no part in their training.

    ke2nt gan pretrain fesgan_drawn
    ke2nt quickstart
    python benchmarks/fesgan_quality.py --synthetic runs/fesgan_drawn --judge runs/quickstart
    python benchmarks/fesgan_quality.py --ferplus runs/fesgan_ferplus --root DIR

Drawn faces of other people than those the generator was trained on, or FER+'s validation usage. One
row per generator; rows of earlier calls stay in the table, OUT/table.md and OUT/table.json. Metrics
are explained in `ke2nt.generation.evaluate_generator.evaluate_generator`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from markdown_tables import format_table

from ke2nt.config.gan import FesganConfig
from ke2nt.datasets.catalog import get_reader
from ke2nt.generation.evaluate_generator import evaluate_generator
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.models.load import load_model
from ke2nt.runtime.atomic import write_json, write_text
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.training_data import load_training_split

FERPLUS_JUDGE = "ke2nt/ferplus-resnet18"  # knows all training labels, so no generator may use it


def evaluate_run(
    run: Path, judge: str, root: str | None, args: argparse.Namespace
) -> dict[str, Any]:
    """Evaluate the generator of a run; its configuration names the faces it was trained on."""
    config = RunDirectory(run).load_config(FesganConfig)
    if root is not None:
        config = config.model_copy(update={"data": config.data.model_copy(update={"root": root})})

    reader = get_reader(config.data.name, config.data.root, config.data.options)
    metrics = evaluate_generator(
        FaceGenerator.load(run),
        load_model(judge),
        real=reader.load(config.data.val_split or "val"),
        training=load_training_split(config),
        count=args.count,
        seed=args.seed,
    )
    space = config.gan.identity_space
    names = {"data": config.data.name, "run": run.name, "identity_space": space, "judge": judge}
    return {**names, **metrics}


def write_table(out: Path, rows: list[dict[str, Any]]) -> None:
    """Write `table.json` and `table.md`."""
    columns = [name for name in rows[-1] if name not in ("judge", "per_expression")]
    cells = [[format_cell(row.get(name, "-")) for name in columns] for row in rows]
    table = format_table(columns, cells)
    write_json(out / "table.json", rows)
    write_text(out / "table.md", table)


def format_cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main(args: argparse.Namespace) -> None:
    # rows of earlier calls stay, except those of the same run
    table = args.out / "table.json"
    rows = json.loads(table.read_text()) if table.exists() else []

    jobs = [(run, args.judge, None) for run in args.synthetic]
    jobs += [(run, FERPLUS_JUDGE, args.root) for run in args.ferplus]
    for run, judge, root in jobs:
        new_row = evaluate_run(run, judge, root, args)
        key = (new_row["data"], new_row["run"])
        rows = [row for row in rows if (row["data"], row["run"]) != key] + [new_row]
        write_table(args.out, rows)
        print(json.dumps(new_row), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--synthetic", type=Path, nargs="+", default=[], metavar="RUN")
    parser.add_argument("--judge", default="runs/quickstart", help="for the drawn faces")
    parser.add_argument("--ferplus", type=Path, nargs="+", default=[], metavar="RUN")
    parser.add_argument("--root", help="folder of FER+")
    parser.add_argument("--out", type=Path, default=Path("runs/fesgan_quality"))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
