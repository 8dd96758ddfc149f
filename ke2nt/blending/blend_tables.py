"""A blend as tables for the terminal and for files."""

from __future__ import annotations

from ke2nt.blending.blend import Blend
from ke2nt.evaluation.result_tables import ResultRow, metrics_table, recall_table
from ke2nt.tables.table import Cell, Column, Table

__all__ = ["blend_table", "blend_tables"]

_TITLES = {"accuracy": "WAR %", "uar": "UAR %", "macro_f1": "macro-F1 %"}


def blend_tables(result: Blend) -> list[Table]:
    """Build the table of averages, and metrics and recalls of each on each dataset."""
    rows = [
        ResultRow((point.label, name), evaluation)
        for point in result.points
        for name, evaluation in point.evaluations.items()
    ]
    names = (_first_column(result), "dataset")
    metrics, recalls = metrics_table(names, rows), recall_table(names, rows)
    return [blend_table(result), Table(metrics.columns, metrics.rows, name="metrics"), recalls]


def blend_table(result: Blend) -> Table:
    """Build a row for each average: its score where it was chosen, and two metrics per dataset."""
    metric = "accuracy" if result.choice is None else str(result.choice["metric"])
    columns = [Column("average", _first_column(result))]
    if result.choice is not None:
        place = f"{result.choice['dataset']} {result.choice['split']}"
        columns.append(Column("score", f"chosen by: {place} {_TITLES[metric]}", "share"))
    targets = list(result.best.evaluations)
    for name in targets:
        columns += [Column(f"{name} {key}", f"{name} {_TITLES[key]}", "share") for key in _KEYS]

    rows: list[list[Cell]] = []
    for index, point in enumerate(result.points):
        mark = " *" if index == result.chosen else ""
        cells: list[Cell] = [point.label + mark]
        if result.choice is not None:
            cells.append(point.score)
        for name in targets:
            report = point.evaluations[name].report
            cells += [float(report.accuracy), float(report.uar)]
        rows.append(cells)
    return Table(columns, rows)


_KEYS = ("accuracy", "uar")


def _first_column(result: Blend) -> str:
    return "alpha" if result.method == "interpolation" else "model"
