"""What the training benchmarks share: rows that are trained, resumed or only read, and their table.

A script names its rows and calls `run_rows`. Every row is a run directory; one that is done is
kept, and one that was cut short is resumed, so each command can be repeated. The table is written
to `OUT/table.md` and `OUT/table.json` after every row. A small network leaves most of a GPU idle:
`--jobs N` trains N rows at once, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ke2nt.config.load import load_config
from ke2nt.runtime.atomic import write_json, write_text
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train

__all__ = ["Row", "make_parser", "run_rows", "train_row"]

RunRow = Callable[["Row", Path, int, argparse.Namespace], None]
METRICS = ("accuracy", "uar", "macro_f1", "ece", "worst_recall")


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        names: Column → what stands in it.
        overrides: `key=value` of the run.
    """

    names: dict[str, str]
    overrides: list[str]

    def folder(self, out: Path, seed: int) -> Path:
        """Run directory of one seed."""
        words = "-".join([*self.names.values(), f"seed{seed}"])
        return out / re.sub(r"[^\w.=%+-]+", "-", words)


def make_parser(description: str, *, config: str, out: str) -> argparse.ArgumentParser:
    """Options of every training benchmark."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--root", required=True, help="folder of FER+")
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument("--config", default=config)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--only", nargs="+", default=[], metavar="COLUMN=NAME", help="some rows")
    parser.add_argument("--jobs", type=int, default=1, help="rows that are trained at once")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("overrides", nargs="*", help="key=value for every row")
    return parser


def train_row(row: Row, folder: Path, seed: int, args: argparse.Namespace) -> None:
    """Train one row as an ordinary run, or go on with it."""
    shared = [f"data.root={args.root}", f"out={folder}", f"seed={seed}"]
    config = load_config(args.config, [*shared, *row.overrides, *args.overrides])
    train(config, resume=RunDirectory(folder).exists, quiet=args.quiet)


def run_rows(
    rows_of: Callable[[int], Sequence[Row]],
    args: argparse.Namespace,
    *,
    run_row: RunRow = train_row,
) -> None:
    """Train what is not done yet, seed by seed, and keep the table up to date.

    Args:
        rows_of: Seed → the table's rows; they are named alike for every seed.
        args: What `make_parser` reads.
        run_row: Trains a row of a seed into a folder, or goes on with it; of a module, so that
            another process finds it.
    """
    wanted: dict[str, set[str]] = {}
    for text in args.only:
        column, _, name = text.partition("=")
        wanted.setdefault(column, set()).add(name)
    rows = {
        seed: [r for r in rows_of(seed) if all(r.names.get(c) in wanted[c] for c in wanted)]
        for seed in args.seeds
    }
    todo = [(row, seed) for seed in args.seeds for row in rows[seed]]
    for row, seed in _done(todo, args, run_row):
        if os.environ.get("RANK", "0") == "0":
            print(json.dumps(_figures(row, seed, row.folder(args.out, seed))), flush=True)
            _write_table(rows[seed], args)


def _done(
    todo: Sequence[tuple[Row, int]], args: argparse.Namespace, run_row: RunRow
) -> Iterator[tuple[Row, int]]:
    """Each row and seed, once it is trained. With several jobs a row that fails stops no other."""

    def missing(row: Row, seed: int) -> bool:
        return not RunDirectory(row.folder(args.out, seed)).finished

    if args.jobs == 1:
        for row, seed in todo:
            if missing(row, seed):
                run_row(row, row.folder(args.out, seed), seed, args)
            yield row, seed
        return
    failed = []
    with ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn")) as pool:
        work = {
            pool.submit(run_row, row, row.folder(args.out, seed), seed, args): (row, seed)
            for row, seed in todo
            if missing(row, seed)
        }
        yield from (item for item in todo if item not in work.values())
        for future in as_completed(work):
            row, seed = work[future]
            if error := future.exception():
                failed.append(f"{row.folder(args.out, seed).name}: {error}")
            else:
                yield row, seed
    if failed:
        sys.exit("\n".join(["rows that failed:", *sorted(failed)]))


def _figures(row: Row, seed: int, folder: Path) -> dict[str, Any]:
    run = RunDirectory(folder)
    metrics, facts = run.read("metrics.json"), run.read("run.json")
    recalls = [c["recall"] for c in metrics["per_class"] if c["recall"] is not None]
    figures = {**metrics, "worst_recall": min(recalls)}
    return {
        **row.names,
        "seed": seed,
        "epochs": yaml.safe_load((folder / "config.yaml").read_text())["optim"]["epochs"],
        "seconds": facts["seconds"],
        "best_epoch": facts["best_epoch"],
        "n": metrics["n"],
        **{name: figures[name] for name in METRICS},
    }


def _write_table(rows: Sequence[Row], args: argparse.Namespace) -> None:
    """Of the rows that are done: mean ± standard deviation over seeds, in percent."""
    done = [
        [
            _figures(row, seed, row.folder(args.out, seed))
            for seed in args.seeds
            if RunDirectory(row.folder(args.out, seed)).finished
        ]
        for row in rows
    ]
    columns = [*rows[0].names, "seeds", *METRICS]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for found in filter(None, done):
        cells = [found[0][name] for name in rows[0].names]
        cells.append(", ".join(str(figures["seed"]) for figures in found))
        cells += [_mean(figure, found) for figure in METRICS]
        lines.append("| " + " | ".join(cells) + " |")
    write_json(args.out / "table.json", [figures for found in done for figures in found])
    write_text(args.out / "table.md", "\n".join(lines) + "\n")


def _mean(figure: str, found: list[dict[str, Any]]) -> str:
    values = [100 * figures[figure] for figures in found]
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"
