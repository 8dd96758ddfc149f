"""Cross-evaluations and robustness evaluations as tables for files."""

from __future__ import annotations

from collections.abc import Sequence

from ke2nt.evaluation.cross_dataset import CrossEvaluation
from ke2nt.evaluation.result_tables import METRIC_COLUMNS, ResultRow, metrics_table, recall_table
from ke2nt.evaluation.robustness import Robustness
from ke2nt.evaluation.score import Evaluation
from ke2nt.tables.table import Cell, Column, Table

__all__ = ["cross_result_tables", "robustness_tables"]

_NAMES = ("model", "dataset")
_MATRICES = {"accuracy": "WAR %", "uar": "UAR %"}


def cross_result_tables(result: CrossEvaluation, names: Sequence[str]) -> list[Table]:
    """Build a row for each pair, recalls of each pair, and a matrix for each of two metrics.

    Args:
        result: The evaluations.
        names: Names of the models in tables.
    """
    short = dict(zip(result.models, names, strict=True))
    rows = [
        ResultRow((short[cell.model], cell.target), cell.evaluation, cell.error)
        for cell in result.cells
    ]
    matrices = [_matrix(result, short, metric) for metric in _MATRICES]
    return [metrics_table(_NAMES, rows), recall_table(_NAMES, rows), *matrices]


def _matrix(result: CrossEvaluation, short: dict[str, str], metric: str) -> Table:
    """Rows are models, columns datasets."""
    targets = [target.name for target in result.targets]
    columns = [
        Column("model", f"model, {_MATRICES[metric]}"),
        *(Column(name, name, "share") for name in targets),
    ]
    rows: list[list[Cell]] = []
    for model in result.models:
        cells = [result.get_cell(model, target) for target in targets]
        evaluations = [None if cell is None else cell.evaluation for cell in cells]
        rows.append([short[model], *(_metric(each, metric) for each in evaluations)])
    return Table(columns, rows, name=metric)


def _metric(evaluation: Evaluation | None, metric: str) -> float | None:
    return None if evaluation is None else float(getattr(evaluation.report, metric))


def robustness_tables(results: Sequence[tuple[str, str, Robustness]]) -> list[Table]:
    """Build a row for each pair with its means, and one for each of its corruptions.

    Args:
        results: (model, dataset, evaluation) of each pair.
    """
    columns = [
        *(Column(name, name) for name in _NAMES),
        Column("accuracy", "WAR %", "share"),
        Column("corrupted_accuracy", "corrupted WAR %", "share"),
        Column("uar", "UAR %", "share"),
        Column("corrupted_uar", "corrupted UAR %", "share"),
    ]

    # plain means over all corruptions and severities
    means: list[list[Cell]] = [
        [
            model,
            dataset,
            result.clean.report.accuracy,
            result.mean("accuracy"),
            result.clean.report.uar,
            result.mean("uar"),
        ]
        for model, dataset, result in results
    ]
    return [Table(columns, means), _corruption_table(results)]


def _corruption_table(results: Sequence[tuple[str, str, Robustness]]) -> Table:
    """A row for each corruption and severity; severity 0 is the original."""
    columns = [
        *(Column(name, name) for name in _NAMES),
        Column("corruption", "corruption"),
        Column("severity", "severity", "count"),
        *(column for column in METRIC_COLUMNS if column.kind == "share"),
    ]

    rows: list[list[Cell]] = []
    for model, dataset, result in results:
        evaluations = {("none", 0): result.clean, **result.cells}
        for (kind, severity), evaluation in evaluations.items():
            report = evaluation.report
            metrics = [report.accuracy, report.uar, report.macro_f1, report.ece]
            rows.append([model, dataset, kind.replace("_", " "), severity, *metrics])
    return Table(columns, rows, name="corruptions")
