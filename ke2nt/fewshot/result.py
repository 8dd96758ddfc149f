"""The results of a few-shot experiment, and their tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ke2nt.evaluation.metrics import ClassificationReport, classification_report
from ke2nt.evaluation.rates import confusion_matrix, rates
from ke2nt.fewshot.cell import FewShotCell
from ke2nt.fewshot.draws import Draw
from ke2nt.fewshot.names import ALL, Shots
from ke2nt.fewshot.repeats import bootstrap_mean
from ke2nt.tables.table import Cell, Column, Estimate, Table

__all__ = ["FewShotResult", "Row"]

_COLUMNS = (
    Column("method", "method"),
    Column("shots", "shots"),
    Column("seeds", "seeds", "count"),
    Column("n", "images", "count"),
    Column("accuracy", "WAR %", "share"),
    Column("uar", "UAR %", "share"),
    Column("macro_f1", "macro-F1 %", "share"),
    Column("ece", "ECE %", "share"),
    Column("seconds", "seconds", "number"),
)


@dataclass(frozen=True, eq=False)
class Row:
    """A method with a number of shots: mean, deviation over the seeds, interval over the images.

    Attributes:
        method: Name of the method.
        shots: Images of each class; 0 for zero-shot.
        cells: One for each seed.
        metrics: "accuracy", "uar", "macro_f1" and "ece".
        recall: Mean recall of each class; None for a class without images.
    """

    method: str
    shots: Shots
    cells: tuple[FewShotCell, ...]
    metrics: dict[str, Estimate]
    recall: tuple[float | None, ...]


@dataclass(frozen=True, eq=False)
class FewShotResult:
    """Methods × shots × seeds on one evaluated split.

    Attributes:
        facts: What was evaluated and how, plain JSON.
        classes: Label set.
        labels: int64 (N,), of the evaluated images.
        names: N sample names.
        draws: The images of each number of shots and seed.
        cells: Finished cells, in the order in which they were computed.
        notes: What a reader of the metrics must know.
        failed: Name → reason of every image that could not be read.
        bootstrap: Resamples for the intervals.
        seed: Seed of the resamples.
    """

    facts: dict[str, Any]
    classes: tuple[str, ...]
    labels: np.ndarray
    names: tuple[str, ...]
    draws: Sequence[Draw]
    cells: list[FewShotCell] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    bootstrap: int = 1000
    seed: int = 0

    def with_notes(self, notes: Sequence[str]) -> FewShotResult:
        """Return the result with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def report(self, cell: FewShotCell, *, bootstrap: int = 0) -> ClassificationReport:
        """Compute the metrics of one cell."""
        return classification_report(
            cell.probabilities, self.labels, self.classes, bootstrap=bootstrap, seed=self.seed
        )

    def rows(self) -> list[Row]:
        """Summarize the seeds of every method and number of shots."""
        groups: dict[tuple[str, Shots], list[FewShotCell]] = {}
        for cell in self.cells:
            groups.setdefault((cell.method, cell.shots), []).append(cell)
        return [self._summarize(*names, tuple(cells)) for names, cells in groups.items()]

    def _summarize(self, method: str, shots: Shots, cells: tuple[FewShotCell, ...]) -> Row:
        reports = [self.report(cell) for cell in cells]
        metrics = {
            name: Estimate.from_repeats([getattr(report, name) for report in reports])
            for name in ("accuracy", "uar", "macro_f1", "ece")
        }

        # the same images for all seeds
        right = [cell.probabilities.argmax(axis=1) == self.labels for cell in cells]
        intervals = bootstrap_mean(right, self.labels, resamples=self.bootstrap, seed=self.seed)
        for name, interval in intervals.items():
            metrics[name] = replace(metrics[name], interval=interval)

        recalls = [
            rates(confusion_matrix(self.labels, c.probabilities.argmax(axis=1), len(self.classes)))
            for c in cells
        ]
        mean = np.mean([each.recall for each in recalls], axis=0)
        recall = tuple(None if np.isnan(value) else float(value) for value in mean)
        return Row(method, shots, cells, metrics, recall)

    def tables(self) -> list[Table]:
        """Build the table of methods and shots, the recall of each class, and every single cell."""
        rows = self.rows()
        main: list[Sequence[Cell]] = [
            [
                row.method,
                str(row.shots),
                len(row.cells),
                len(self.labels),
                *row.metrics.values(),
                sum(cell.seconds for cell in row.cells) / len(row.cells),
            ]
            for row in rows
        ]

        # classes may be recognized unequally well
        recall: list[Sequence[Cell]] = [[row.method, str(row.shots), *row.recall] for row in rows]
        classes = [Column(name, f"{name} %", "share") for name in self.classes]
        return [
            Table(_COLUMNS, main),
            Table([*_COLUMNS[:2], *classes], recall, name="recall"),
            self._cell_table(),
        ]

    def _cell_table(self) -> Table:
        columns = [
            *_COLUMNS[:2],
            Column("seed", "seed", "count"),
            Column("accuracy", "WAR %", "share"),
            Column("uar", "UAR %", "share"),
            Column("chosen", "chosen on validation images"),
        ]
        rows: list[Sequence[Cell]] = []
        for cell in self.cells:
            report = self.report(cell)

            # names of hyperparameters are those of the files
            chosen = ", ".join(
                f"{name.replace('_uar', ' UAR')} {value:.4g}"
                for name, value in cell.fitted.chosen.items()
            )
            accuracy, uar = report.accuracy, report.uar
            rows.append([cell.method, str(cell.shots), cell.seed, accuracy, uar, chosen])
        return Table(columns, rows, name="cells")

    def curves(self, metric: str) -> dict[str, list[tuple[str, Estimate]]]:
        """Return method → its metric for each number of shots, in order; zero-shot has one."""
        curves: dict[str, list[tuple[str, Estimate]]] = {}
        for row in sorted(self.rows(), key=lambda row: _order(row.shots)):
            point = (str(row.shots), row.metrics[metric])
            curves.setdefault(row.method, []).append(point)
        return curves

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        # means over the seeds, then every fit
        rows = [
            {
                "method": row.method,
                "shots": row.shots,
                **{name: _plain(estimate) for name, estimate in row.metrics.items()},
                "recall": list(row.recall),
            }
            for row in self.rows()
        ]

        return {
            **self.facts,
            "classes": list(self.classes),
            "n": len(self.labels),
            "notes": list(self.notes),
            "failed": [{"name": name, "reason": why} for name, why in self.failed.items()],
            "rows": rows,
            "cells": [self._cell_facts(cell) for cell in self.cells],
        }

    def _cell_facts(self, cell: FewShotCell) -> dict[str, Any]:
        return {
            "method": cell.method,
            "shots": cell.shots,
            "seed": cell.seed,
            "seconds": cell.seconds,
            "chosen": dict(cell.fitted.chosen),
            **self.report(cell, bootstrap=self.bootstrap).to_dict(),
        }


def _plain(estimate: Estimate) -> dict[str, Any]:
    interval = estimate.interval and list(estimate.interval)
    return {"mean": estimate.value, "deviation": estimate.deviation, "interval": interval}


def _order(shots: Shots) -> float:
    return float("inf") if shots == ALL else float(shots)
