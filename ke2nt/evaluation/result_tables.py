"""Evaluations as tables: metrics, recall of each class, confusions, groups of people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ke2nt.evaluation.groups import GroupReport
from ke2nt.evaluation.metrics import ClassificationReport
from ke2nt.evaluation.score import Evaluation
from ke2nt.tables.table import Cell, Column, Estimate, Table

__all__ = [
    "METRIC_COLUMNS",
    "ResultRow",
    "evaluation_tables",
    "metric_cells",
    "metrics_table",
    "recall_table",
]

METRIC_COLUMNS = (
    Column("n", "images", "count"),
    Column("num_classes", "classes", "count"),
    Column("accuracy", "WAR %", "share"),
    Column("uar", "UAR %", "share"),
    Column("macro_f1", "macro-F1 %", "share"),
    Column("ece", "ECE %", "share"),
)
_ERROR = Column("error", "error", "detail")


@dataclass(frozen=True)
class ResultRow:
    """One evaluation in a table of several.

    Attributes:
        names: What was evaluated, such as (model, dataset).
        evaluation: The metrics; None if the evaluation failed.
        error: Why it failed.
    """

    names: Sequence[str]
    evaluation: Evaluation | None
    error: str | None = None


def metrics_table(names: Sequence[str], rows: Sequence[ResultRow]) -> Table:
    """Build a table with a row of metrics for each evaluation.

    Args:
        names: What `ResultRow.names` are, such as ["model", "dataset"].
        rows: The evaluations. The reason of a failed one is in data files only.
    """
    columns = [*(Column(name, name) for name in names), *METRIC_COLUMNS]
    cells = [
        [*row.names, *metric_cells(None if row.evaluation is None else row.evaluation.report)]
        for row in rows
    ]
    if any(row.error for row in rows):
        columns.append(_ERROR)
        cells = [[*each, row.error] for each, row in zip(cells, rows, strict=True)]
    return Table(columns, cells)


def metric_cells(report: ClassificationReport | None) -> list[Cell]:
    """Return the cells of `METRIC_COLUMNS`; None without a report."""
    if report is None:
        return [None] * len(METRIC_COLUMNS)
    return [
        report.n,
        len(report.classes),
        Estimate(report.accuracy, report.intervals.get("accuracy")),
        Estimate(report.uar, report.intervals.get("uar")),
        Estimate(report.macro_f1, report.intervals.get("macro_f1")),
        report.ece,
    ]


def recall_table(names: Sequence[str], rows: Sequence[ResultRow]) -> Table:
    """Build a table with the recall of each class in a column; rows as in `metrics_table`."""
    reports = [None if row.evaluation is None else row.evaluation.report for row in rows]

    # label sets may differ between rows
    classes = dict.fromkeys(name for report in reports if report for name in report.classes)
    columns = [
        *(Column(name, name) for name in names),
        *(Column(name, f"{name} %", "share") for name in classes),
    ]
    cells = []
    for row, report in zip(rows, reports, strict=True):
        recalls = {} if report is None else {each.name: each.recall for each in report.per_class}
        cells.append([*row.names, *(recalls.get(name) for name in classes)])
    return Table(columns, cells, name="recall")


def evaluation_tables(
    names: Sequence[str], row: ResultRow, groups: Sequence[GroupReport] = ()
) -> list[Table]:
    """Build the tables of one evaluation: metrics, classes, confusions, and each kind of groups.

    Args:
        names: What `row.names` are.
        row: An evaluation that did not fail.
        groups: Metrics of groups of people, one report per attribute.
    """
    assert row.evaluation is not None
    report = row.evaluation.report
    tables = [metrics_table(names, [row]), _class_table(report), _confusion_table(report)]
    return [*tables, *map(_group_table, groups)]


def _class_table(report: ClassificationReport) -> Table:
    columns = [
        Column("class", "class"),
        Column("n", "images", "count"),
        Column("recall", "recall %", "share"),
        Column("precision", "precision %", "share"),
        Column("f1", "F1 %", "share"),
    ]

    # classes without images have no rates
    rows: list[list[Cell]] = [
        [
            each.name,
            each.support,
            Estimate(each.recall, each.recall_interval),
            each.precision,
            each.f1,
        ]
        for each in report.per_class
    ]
    return Table(columns, rows, name="classes")


def _confusion_table(report: ClassificationReport) -> Table:
    columns = [
        Column("true", "true \\ predicted"),
        *(Column(name, name, "count") for name in report.classes),
    ]
    rows: list[list[Cell]] = [
        [name, *map(int, counts)]
        for name, counts in zip(report.classes, report.confusion, strict=True)
    ]
    return Table(columns, rows, name="confusion")


def _group_table(report: GroupReport) -> Table:
    columns = [
        Column(report.attribute, report.attribute),
        Column("n", "images", "count"),
        Column("accuracy", "WAR %", "share"),
        Column("uar", "UAR %", "share"),
    ]

    rows: list[list[Cell]] = [
        [
            group.name,
            group.n,
            Estimate(group.accuracy, group.accuracy_interval),
            Estimate(group.uar, group.uar_interval),
        ]
        for group in report.groups
    ]
    return Table(columns, rows, name=f"by-{report.attribute}")
