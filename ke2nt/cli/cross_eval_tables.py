"""Tables of a cross-evaluation and of a robustness evaluation, for the terminal and for pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from ke2nt.cli.output import is_number, print_line, print_notes, print_table
from ke2nt.runtime.formatting import percent, percent_cell

if TYPE_CHECKING:
    from ke2nt.evaluation.cross_dataset import Cell, CrossEvaluation
    from ke2nt.evaluation.robustness import Robustness
    from ke2nt.pages.table_page import PageTable

__all__ = [
    "Table",
    "describe_clean",
    "model_names",
    "notes_of",
    "pair_table",
    "severity_tables",
    "show_cross",
    "show_robustness",
]

_MATRIX_METRICS = {"accuracy": "WAR", "uar": "UAR"}


def model_names(models: Sequence[str]) -> list[str]:
    """Shorten models to the last part of their folder, if that tells them apart."""
    short = [PurePath(model.removesuffix("/model")).name for model in models]
    return short if len(set(short)) == len(short) else list(models)


@dataclass(frozen=True)
class Table:
    """Columns as `print_table` takes them, and rows."""

    title: str | None
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def show(self) -> None:
        """Print the table."""
        print_table(self.columns, self.rows, title=self.title)

    def for_page(self) -> PageTable:
        """Return the same table for an HTML page."""
        from ke2nt.pages.table_page import PageTable

        names = [(name.removesuffix(" #"), is_number(name)) for name in self.columns]
        return PageTable(names, self.rows)


def pair_table(result: CrossEvaluation) -> Table:
    """Return a table of every model on every dataset, with intervals."""
    names = dict(zip(result.models, model_names(result.models), strict=True))
    metrics = ["n images", "n classes", "WAR %", "95 % interval", "UAR %", "95 % interval"]
    metrics += ["macro-F1 %", "ECE %"]
    rows = []
    for cell in result.cells:
        target = f"{cell.target} *" if cell.home else cell.target
        values = _metric_cells(cell) or ["–"] * len(metrics)
        rows.append([names[cell.model], target, *values])
    return Table(None, ["model", "dataset", *metrics], rows)


def _metric_cells(cell: Cell) -> list[str]:
    if cell.evaluation is None:
        return []
    report = cell.evaluation.report
    return [
        str(report.n),
        str(len(report.classes)),
        percent_cell(report.accuracy),
        percent_cell(report.intervals.get("accuracy")),
        percent_cell(report.uar),
        percent_cell(report.intervals.get("uar")),
        percent_cell(report.macro_f1),
        percent_cell(report.ece),
    ]


def notes_of(result: CrossEvaluation) -> list[str]:
    """Return how labels were matched, which images are unreadable, and notes on the metrics."""
    names = dict(zip(result.models, model_names(result.models), strict=True))
    notes = []
    for cell in result.cells:
        evaluation = cell.evaluation
        if evaluation is None:
            continue
        pair = f"{names[cell.model]} on {cell.target}"

        # how many images the label policy costs, so that tables can be compared
        dropped = sum(evaluation.dropped.values())
        lost = f" ({dropped} images)" if dropped else ""
        notes.append(f"labels, {pair}: {evaluation.mapping.describe()}{lost}")
        if evaluation.failed:
            _, reason = evaluation.failed[0]
            count = len(evaluation.failed)
            notes.append(f"unreadable, {pair}: {count} images, for example: {reason}")
        notes += [f"note, {pair}: {note}" for note in cell.notes]
    return notes


def show_cross(result: CrossEvaluation) -> None:
    """Print every pair with intervals, two matrices, and how labels were matched."""
    pair_table(result).show()
    if any(cell.home for cell in result.cells):
        print_line("* the dataset that the model was trained on")
    if len(result.models) > 1 and len(result.targets) > 1:
        for metric, name in _MATRIX_METRICS.items():
            _matrix(result, metric, f"{name}, percent").show()
    for note in notes_of(result):
        print_line(note)


def _matrix(result: CrossEvaluation, metric: str, title: str) -> Table:
    """Return a metric with a row for each model and a column for each dataset."""

    def cell_text(model: str, target: str) -> str:
        cell = result.get_cell(model, target)
        if cell is None or cell.evaluation is None:
            return "–"
        return percent_cell(getattr(cell.evaluation.report, metric))

    columns = ["model", *(f"{target.name} #" for target in result.targets)]
    rows = [
        [name, *(cell_text(model, target.name) for target in result.targets)]
        for model, name in zip(result.models, model_names(result.models), strict=True)
    ]
    return Table(title, columns, rows)


def severity_tables(result: Robustness) -> list[Table]:
    """Return a table for each metric: a row for each corruption, a column for each severity."""
    return [_severity_table(result, metric, name) for metric, name in _MATRIX_METRICS.items()]


def _severity_table(result: Robustness, metric: str, name: str) -> Table:
    rows = []
    for kind in result.kinds:
        values = [result.value(metric, kind, severity) for severity in result.severities]
        mean = result.mean(metric, kind=kind)
        rows.append([kind.replace("_", " "), *map(percent_cell, values), percent_cell(mean)])

    means = [result.mean(metric, severity=severity) for severity in result.severities]
    rows.append(["mean", *map(percent_cell, means), percent_cell(result.mean(metric))])
    severities = [f"{severity} #" for severity in result.severities]
    return Table(None, [f"{name}, percent, at severity", *severities, "mean #"], rows)


def describe_clean(result: Robustness) -> str:
    """Return the metrics without any corruption in one sentence."""
    report = result.clean.report
    return (
        f"Without corruption, the {report.n} images give WAR {percent(report.accuracy)}, UAR "
        f"{percent(report.uar)}, macro-F1 {percent(report.macro_f1)}, ECE {percent(report.ece)}."
    )


def show_robustness(result: Robustness, title: str, notes: Sequence[str]) -> None:
    """Print the tables of a model on a dataset."""
    print_line(f"{title}. {describe_clean(result)}")
    for table in severity_tables(result):
        table.show()
    print_line(f"labels: {result.clean.mapping.describe()}")
    print_notes(notes)
