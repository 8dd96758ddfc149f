"""Matrices of figures as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from ke2nt.cli.output import is_number, print_line, print_table
from ke2nt.runtime.formatting import percent, percent_cell

if TYPE_CHECKING:
    from ke2nt.evaluation.cross_dataset import CrossEvaluation
    from ke2nt.evaluation.robustness import Robustness
    from ke2nt.pages.table_page import PageTable

__all__ = [
    "Table",
    "clean_words",
    "model_names",
    "notes_of",
    "pair_table",
    "severity_tables",
    "show_cross",
    "show_robustness",
]


def model_names(models: Sequence[str]) -> list[str]:
    """Models by the last part of their folder, where that tells them apart."""
    short = [PurePath(model.removesuffix("/model")).name for model in models]
    return short if len(set(short)) == len(short) else list(models)


@dataclass(frozen=True)
class Table:
    """Columns as `print_table` takes them, and rows."""

    title: str | None
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def show(self) -> None:
        """Print it."""
        print_table(self.columns, self.rows, title=self.title)

    def for_page(self) -> PageTable:
        """The same table for a page."""
        from ke2nt.pages.table_page import PageTable

        names = [(name.removesuffix(" #"), is_number(name)) for name in self.columns]
        return PageTable(names, self.rows)


def pair_table(result: CrossEvaluation) -> Table:
    """Every pair with its figures and intervals."""
    names = dict(zip(result.models, model_names(result.models), strict=True))
    rows = []
    for cell in result.cells:
        pair = [names[cell.model], cell.target + " *" * cell.home]
        if cell.evaluation is None:
            rows.append([*pair, *["–"] * 8])
            continue
        report = cell.evaluation.report
        rows.append(
            [
                *pair,
                str(report.n),
                str(len(report.classes)),
                percent_cell(report.accuracy),
                percent_cell(report.intervals.get("accuracy")),
                percent_cell(report.uar),
                percent_cell(report.intervals.get("uar")),
                percent_cell(report.macro_f1),
                percent_cell(report.ece),
            ]
        )
    columns = ["model", "dataset", "n images", "n classes", "WAR %", "95 % interval"]
    return Table(None, [*columns, "UAR %", "95 % interval", "macro-F1 %", "ECE %"], rows)


def notes_of(result: CrossEvaluation) -> list[str]:
    """How labels were joined, what could not be read, and what must be known of the figures."""
    names = dict(zip(result.models, model_names(result.models), strict=True))
    notes = []
    for cell in result.cells:
        pair = f"{names[cell.model]} on {cell.target}"
        evaluation = cell.evaluation
        if evaluation is None:
            continue
        dropped = sum(evaluation.dropped.values())
        lost = f" ({dropped} images)" * bool(dropped)
        notes.append(f"labels, {pair}: {evaluation.mapping.describe()}{lost}")
        if evaluation.failed:
            count, example = len(evaluation.failed), evaluation.failed[0][1]
            notes.append(f"unreadable, {pair}: {count} images, for example: {example}")
        notes += [f"note, {pair}: {note}" for note in cell.notes]
    return notes


def show_cross(result: CrossEvaluation) -> None:
    """Every pair with intervals, two matrices, and how labels were joined."""
    pair_table(result).show()
    if any(cell.home for cell in result.cells):
        print_line("* the model's own dataset")
    if len(result.models) > 1 and len(result.targets) > 1:
        for figure, name in (("accuracy", "WAR"), ("uar", "UAR")):
            _matrix(result, figure, f"{name}, percent").show()
    for note in notes_of(result):
        print_line(note)


def _matrix(result: CrossEvaluation, figure: str, title: str) -> Table:
    def text(model: str, target: str) -> str:
        cell = result.get_cell(model, target)
        evaluation = None if cell is None else cell.evaluation
        return "–" if evaluation is None else percent_cell(getattr(evaluation.report, figure))

    columns = ["model", *(f"{target.name} #" for target in result.targets)]
    rows = [
        [name, *(text(model, target.name) for target in result.targets)]
        for model, name in zip(result.models, model_names(result.models), strict=True)
    ]
    return Table(title, columns, rows)


def severity_tables(result: Robustness) -> list[Table]:
    """A row a kind, a column a severity, and means."""
    tables = []
    for figure, name in (("accuracy", "WAR"), ("uar", "UAR")):
        rows = [
            [
                kind.replace("_", " "),
                *(percent_cell(result.value(figure, kind, s)) for s in result.severities),
                percent_cell(result.mean(figure, kind=kind)),
            ]
            for kind in result.kinds
        ]
        means = [percent_cell(result.mean(figure, severity=s)) for s in result.severities]
        rows.append(["mean", *means, percent_cell(result.mean(figure))])
        severities = [f"{s} #" for s in result.severities]
        columns = [f"{name}, percent, at severity", *severities, "mean #"]
        tables.append(Table(None, columns, rows))
    return tables


def clean_words(result: Robustness) -> str:
    """The figures without any corruption in one sentence."""
    report = result.clean.report
    return (
        f"As they are, the {report.n} images give WAR {percent(report.accuracy)}, UAR "
        f"{percent(report.uar)}, macro-F1 {percent(report.macro_f1)}, ECE "
        f"{percent(report.ece)}."
    )


def show_robustness(result: Robustness, title: str, notes: Sequence[str]) -> None:
    """The tables of a model on a dataset."""
    print_line(f"{title}. {clean_words(result)}")
    for table in severity_tables(result):
        table.show()
    print_line(f"labels: {result.clean.mapping.describe()}")
    for note in notes:
        print_line(f"note: {note}")
