"""Tables and sentences of cross-evaluations and robustness evaluations, for pages and terminals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from ke2nt.evaluation.cross_dataset import Cell, CrossEvaluation
from ke2nt.evaluation.robustness import Robustness
from ke2nt.pages.table_page import PageTable
from ke2nt.runtime.formatting import percent, percent_cell

__all__ = [
    "build_metric_matrices",
    "build_pair_table",
    "build_severity_tables",
    "describe_clean",
    "describe_pairs",
    "shorten_model_names",
]

_MATRIX_METRICS = {"accuracy": "WAR", "uar": "UAR"}

# Columns of a pair's metrics: name, and whether it aligns right as numbers do.
_PAIR_COLUMNS = (
    ("n images", True),
    ("n classes", True),
    ("WAR %", True),
    ("95 % interval", False),
    ("UAR %", True),
    ("95 % interval", False),
    ("macro-F1 %", True),
    ("ECE %", True),
)


def shorten_model_names(models: Sequence[str]) -> list[str]:
    """Shorten models to the last part of their folder, if that tells them apart."""
    short = [PurePath(model.removesuffix("/model")).name for model in models]
    return short if len(set(short)) == len(short) else list(models)


def build_pair_table(result: CrossEvaluation) -> PageTable:
    """Return a table of every model on every dataset, with intervals."""
    names = dict(zip(result.models, shorten_model_names(result.models), strict=True))
    rows = []
    for cell in result.cells:
        target = f"{cell.target} *" if cell.home else cell.target
        values = _metric_cells(cell) or ["–"] * len(_PAIR_COLUMNS)
        rows.append([names[cell.model], target, *values])
    return PageTable([("model", False), ("dataset", False), *_PAIR_COLUMNS], rows)


def _metric_cells(cell: Cell) -> list[str]:
    """Cells of `_PAIR_COLUMNS`; empty if the evaluation failed."""
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


def describe_pairs(result: CrossEvaluation) -> list[str]:
    """Return how labels were matched, which images are unreadable, and notes on the metrics."""
    names = dict(zip(result.models, shorten_model_names(result.models), strict=True))
    notes = []
    for cell in result.cells:
        evaluation = cell.evaluation
        if evaluation is None:
            continue
        pair = f"{names[cell.model]} on {cell.target}"

        # How many images the label policy costs, so that tables can be compared.
        dropped = sum(evaluation.dropped.values())
        lost = f" ({dropped} images)" if dropped else ""
        notes.append(f"labels, {pair}: {evaluation.mapping.describe()}{lost}")
        if evaluation.failed:
            _, reason = evaluation.failed[0]
            count = len(evaluation.failed)
            notes.append(f"unreadable, {pair}: {count} images, for example: {reason}")
        notes += [f"note, {pair}: {note}" for note in cell.notes]
    return notes


def build_metric_matrices(result: CrossEvaluation) -> list[PageTable]:
    """Return a table for each metric: a row for each model, a column for each dataset."""
    return [_build_matrix(result, metric, name) for metric, name in _MATRIX_METRICS.items()]


def _build_matrix(result: CrossEvaluation, metric: str, name: str) -> PageTable:
    rows = []
    for model, short_name in zip(result.models, shorten_model_names(result.models), strict=True):
        values = [_metric_text(result, metric, model, target.name) for target in result.targets]
        rows.append([short_name, *values])

    columns = [("model", False), *((target.name, True) for target in result.targets)]
    return PageTable(columns, rows, title=f"{name}, percent")


def _metric_text(result: CrossEvaluation, metric: str, model: str, target: str) -> str:
    cell = result.get_cell(model, target)
    if cell is None or cell.evaluation is None:
        return "–"
    return percent_cell(getattr(cell.evaluation.report, metric))


def build_severity_tables(result: Robustness) -> list[PageTable]:
    """Return a table for each metric: a row for each corruption, a column for each severity."""
    return [_build_severity_table(result, metric, name) for metric, name in _MATRIX_METRICS.items()]


def _build_severity_table(result: Robustness, metric: str, name: str) -> PageTable:
    rows = []
    for kind in result.kinds:
        values = [result.value(metric, kind, severity) for severity in result.severities]
        mean = result.mean(metric, kind=kind)
        rows.append([kind.replace("_", " "), *map(percent_cell, values), percent_cell(mean)])

    # Last row: means over kinds, and over everything.
    means = [result.mean(metric, severity=severity) for severity in result.severities]
    rows.append(["mean", *map(percent_cell, means), percent_cell(result.mean(metric))])
    severities = [(str(severity), True) for severity in result.severities]
    columns = [(f"{name}, percent, at severity", False), *severities, ("mean", True)]
    return PageTable(columns, rows)


def describe_clean(result: Robustness) -> str:
    """Return the metrics without any corruption in one sentence."""
    report = result.clean.report
    return (
        f"Without corruption, the {report.n} images give WAR {percent(report.accuracy)}, UAR "
        f"{percent(report.uar)}, macro-F1 {percent(report.macro_f1)}, ECE {percent(report.ece)}."
    )
