"""Shared by the training benchmarks: rows that are trained, resumed or only read, and their table.

A script lists its rows and calls `run_rows`. Every row is a run directory; a finished one is kept
and an interrupted one is resumed, so each command can be repeated. The table is written to
`OUT/table.md` and `OUT/table.json` after every row. A small network leaves most of a GPU idle:
`--jobs N` trains N rows at once, each in its own process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markdown_tables import format_mean, format_table

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
        names: Column → content.
        overrides: `key=value` of the run.
    """

    names: dict[str, str]
    overrides: list[str]

    def folder(self, out: Path, seed: int) -> Path:
        """Return the run directory of one seed."""
        words = "-".join([*self.names.values(), f"seed{seed}"])
        return out / re.sub(r"[^\w.=%+-]+", "-", words)


def make_parser(description: str, *, config: str, out: str) -> argparse.ArgumentParser:
    """Build the options that every training benchmark has."""
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
    """Train one row as an ordinary run, or resume it."""
    shared = [f"data.root={args.root}", f"out={folder}", f"seed={seed}"]
    config = load_config(args.config, [*shared, *row.overrides, *args.overrides])
    train(config, resume=RunDirectory(folder).exists, quiet=args.quiet)


def run_rows(
    build_rows: Callable[[int], Sequence[Row]],
    args: argparse.Namespace,
    *,
    run_row: RunRow = train_row,
) -> None:
    """Train the rows that are not finished, seed by seed, and keep the table up to date.

    Args:
        build_rows: Seed → rows of the table, with the same names for every seed.
        args: The options of `make_parser`.
        run_row: Trains a row of a seed into a folder, or resumes it; a function of a module, so
            that another process finds it.
    """
    rows = {seed: select_rows(build_rows(seed), args.only) for seed in args.seeds}
    jobs = [(row, seed) for seed in args.seeds for row in rows[seed]]

    # one process of a distributed run writes
    is_main_process = os.environ.get("RANK", "0") == "0"
    for row, seed in _finish_jobs(jobs, args, run_row):
        if is_main_process:
            print(json.dumps(_read_metrics(row, seed, row.folder(args.out, seed))), flush=True)
            _write_table(rows[seed], args)


def select_rows(rows: Sequence[Row], only: Sequence[str]) -> list[Row]:
    """Select the rows that match every column named in `only`, such as "labels=5%"."""
    selected: dict[str, set[str]] = {}
    for text in only:
        column, _, name = text.partition("=")
        selected.setdefault(column, set()).add(name)
    return [
        row
        for row in rows
        if all(row.names.get(column) in names for column, names in selected.items())
    ]


def _finish_jobs(
    jobs: Sequence[tuple[Row, int]], args: argparse.Namespace, run_row: RunRow
) -> Iterator[tuple[Row, int]]:
    """Yield each row and seed once it is trained."""
    if args.jobs == 1:
        for row, seed in jobs:
            if not _is_finished(row, seed, args):
                run_row(row, row.folder(args.out, seed), seed, args)
            yield row, seed
        return

    # the finished ones first: they need no waiting
    unfinished = [job for job in jobs if not _is_finished(*job, args)]
    yield from (job for job in jobs if job not in unfinished)
    yield from _finish_in_parallel(unfinished, args, run_row)


def _finish_in_parallel(
    jobs: Sequence[tuple[Row, int]], args: argparse.Namespace, run_row: RunRow
) -> Iterator[tuple[Row, int]]:
    """Train several rows at once; a row that fails does not stop the others."""
    failures = []
    with ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn")) as pool:
        futures = {
            pool.submit(run_row, row, row.folder(args.out, seed), seed, args): (row, seed)
            for row, seed in jobs
        }
        for future in as_completed(futures):
            row, seed = futures[future]
            error = future.exception()
            if error is None:
                yield row, seed
            else:
                failures.append(f"{row.folder(args.out, seed).name}: {error}")

    if failures:
        sys.exit("\n".join(["rows that failed:", *sorted(failures)]))


def _is_finished(row: Row, seed: int, args: argparse.Namespace) -> bool:
    return RunDirectory(row.folder(args.out, seed)).finished


def _read_metrics(row: Row, seed: int, folder: Path) -> dict[str, Any]:
    """Read the metrics of a finished run."""
    run = RunDirectory(folder)
    metrics, facts = run.read("metrics.json"), run.read("run.json")
    recalls = [entry["recall"] for entry in metrics["per_class"] if entry["recall"] is not None]
    metrics = {**metrics, "worst_recall": min(recalls)}

    return {
        **row.names,
        "seed": seed,
        "epochs": yaml.safe_load((folder / "config.yaml").read_text())["optim"]["epochs"],
        "seconds": facts["seconds"],
        "best_epoch": facts["best_epoch"],
        "n": metrics["n"],
        **{name: metrics[name] for name in METRICS},
    }


def _write_table(rows: Sequence[Row], args: argparse.Namespace) -> None:
    """Write the finished rows: mean ± standard deviation over seeds, in percent."""
    results: list[dict[str, Any]] = []
    table = []
    for row in rows:
        seeds = [seed for seed in args.seeds if _is_finished(row, seed, args)]
        runs = [_read_metrics(row, seed, row.folder(args.out, seed)) for seed in seeds]
        results += runs
        if runs:
            means = [format_mean([run[name] for run in runs], digits=2) for name in METRICS]
            table.append([*row.names.values(), ", ".join(map(str, seeds)), *means])

    write_json(args.out / "table.json", results)
    columns = [*rows[0].names, "seeds", *METRICS]
    write_text(args.out / "table.md", format_table(columns, table))
