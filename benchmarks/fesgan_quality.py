"""How good synthetic faces are, judged by a recognizer that took no part in their training.

    ke2nt gan pretrain fesgan_drawn
    ke2nt quickstart
    python benchmarks/fesgan_quality.py --synthetic runs/fesgan_drawn --judge runs/quickstart
    python benchmarks/fesgan_quality.py --ferplus runs/fesgan_ferplus --root DIR

Drawn faces of other people than those that the generator learned from, or FER+'s validation usage.
A row a generator; rows of earlier calls stay in the table, OUT/table.md and OUT/table.json. Figures
are explained in `ke2nt.generation.evaluate_generator.evaluate_generator`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ke2nt.config.gan import FesganConfig
from ke2nt.datasets.catalog import get_reader
from ke2nt.generation.evaluate_generator import evaluate_generator
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.models.load import load_model
from ke2nt.runtime.atomic import write_json, write_text
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.training_data import load_training_split

FERPLUS_JUDGE = "ke2nt/ferplus-resnet18"  # knows all training labels, so no generator may use it


def row(run: Path, judge: str, root: str | None, args: argparse.Namespace) -> dict[str, Any]:
    """Figures of one run; the faces that it learned from are looked up in its configuration."""
    config = RunDirectory(run).load_config(FesganConfig)
    if root is not None:
        config = config.model_copy(update={"data": config.data.model_copy(update={"root": root})})
    reader = get_reader(config.data.name, config.data.root, config.data.options)
    figures = evaluate_generator(
        FaceGenerator.load(run),
        load_model(judge),
        real=reader.load(config.data.val_split or "val"),
        training=load_training_split(config),
        count=args.count,
        seed=args.seed,
    )
    return {"data": config.data.name, "run": run.name, "judge": judge, **figures}


def main(args: argparse.Namespace) -> None:
    place = args.out / "table.json"
    rows = json.loads(place.read_text()) if place.exists() else []
    wanted = [(run, args.judge, None) for run in args.synthetic]
    wanted += [(run, FERPLUS_JUDGE, args.root) for run in args.ferplus]
    for run, judge, root in wanted:
        found = row(run, judge, root, args)
        rows = [r for r in rows if (r["data"], r["run"]) != (found["data"], found["run"])] + [found]
        write_json(place, rows)
        columns = [name for name in found if name != "judge"]
        lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
        for r in rows:
            cells = [f"{r[c]:.3g}" if isinstance(r[c], float) else str(r[c]) for c in columns]
            lines.append("| " + " | ".join(cells) + " |")
        write_text(args.out / "table.md", "\n".join(lines) + "\n")
        print(json.dumps(found), flush=True)


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
