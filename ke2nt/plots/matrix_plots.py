"""Heat maps of evaluations: models on datasets, and a model under corruptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ke2nt.evaluation.cross_dataset import CrossEvaluation
from ke2nt.evaluation.robustness import Robustness
from ke2nt.plots.figure import ImageFormat
from ke2nt.plots.heat_map import HeatPanel, plot_heat_maps
from ke2nt.plots.theme import LIGHT, Theme
from ke2nt.runtime.formatting import percent_cell

__all__ = ["HIGHEST", "TITLES", "plot_cross_evaluation", "plot_robustness"]

TITLES: Mapping[str, str] = {
    "accuracy": "accuracy (WAR), percent",
    "uar": "mean class recall (UAR), percent",
    "ece": "calibration error (ECE), percent",
}
HIGHEST: Mapping[str, float] = {"accuracy": 1.0, "uar": 1.0, "ece": 0.5}
_HOME_MARK = "*"


def plot_cross_evaluation(
    result: CrossEvaluation,
    names: Sequence[str],
    *,
    theme: Theme = LIGHT,
    format: ImageFormat = "png",
) -> bytes:
    """Plot accuracy, mean class recall and calibration error of every model on every dataset.

    Args:
        result: The matrix; cells without metrics are dashes.
        names: Names of the models.
        theme: Colors.
        format: "png", "svg" or "pdf".
    """
    columns = [target.name for target in result.targets]
    home = any(cell.home for cell in result.cells)

    panels: list[HeatPanel] = []
    for metric, title in TITLES.items():
        # The first title explains the asterisk; the others get an empty line to stay level.
        note = "\n" if home else ""
        if home and not panels:
            note += f"{_HOME_MARK} the model's own dataset"
        values, texts = _collect_values(result, metric)
        panels.append(HeatPanel(title + note, names, columns, values, texts, 0, HIGHEST[metric]))
    return plot_heat_maps(panels, theme=theme, format=format)


def _collect_values(result: CrossEvaluation, metric: str) -> tuple[np.ndarray, list[list[str]]]:
    """Values (models, datasets) of a metric, NaN in cells without metrics, and their texts."""
    values = np.full((len(result.models), len(result.targets)), np.nan)
    texts = [["–"] * len(result.targets) for _ in result.models]

    for row, model in enumerate(result.models):
        for column, target in enumerate(result.targets):
            cell = result.get_cell(model, target.name)
            if cell is not None and cell.evaluation is not None:
                value = getattr(cell.evaluation.report, metric)
                values[row, column] = value
                texts[row][column] = percent_cell(value) + (_HOME_MARK if cell.home else "")
    return values, texts


def plot_robustness(
    result: Robustness, *, theme: Theme = LIGHT, format: ImageFormat = "png"
) -> bytes:
    """Plot accuracy and mean class recall by kind and severity, with their means."""
    columns = ["original", *(f"severity {s}" for s in result.severities), "mean"]
    names = [*(kind.replace("_", " ") for kind in result.kinds), "mean"]

    panels = []
    for metric in ("accuracy", "uar"):
        # The value without corruption is the same in every row.
        clean = float(getattr(result.clean.report, metric))
        rows = []
        for kind in result.kinds:
            by_severity = [result.value(metric, kind, s) for s in result.severities]
            rows.append([clean, *by_severity, result.mean(metric, kind=kind)])
        means = [result.mean(metric, severity=s) for s in result.severities]
        rows.append([clean, *means, result.mean(metric)])

        texts = [[percent_cell(value) for value in row] for row in rows]
        values = np.array(rows)
        panels.append(HeatPanel(TITLES[metric], names, columns, values, texts, 0, HIGHEST[metric]))
    return plot_heat_maps(panels, theme=theme, format=format)
