"""Matrices of figures as heat maps: models on datasets, and a model under corruptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ke2nt.evaluation.cross_dataset import CrossEvaluation
from ke2nt.evaluation.robustness import Robustness
from ke2nt.plots.figure import ImageFormat
from ke2nt.plots.heat_map import HeatPanel, plot_heat_maps
from ke2nt.plots.theme import LIGHT, Theme

__all__ = ["HIGHEST", "TITLES", "plot_cross_evaluation", "plot_robustness"]

TITLES: Mapping[str, str] = {
    "accuracy": "accuracy (WAR), percent",
    "uar": "mean class recall (UAR), percent",
    "ece": "calibration error (ECE), percent",
}
HIGHEST: Mapping[str, float] = {"accuracy": 1.0, "uar": 1.0, "ece": 0.5}
_HOME = "*"


def plot_cross_evaluation(
    result: CrossEvaluation,
    names: Sequence[str],
    *,
    theme: Theme = LIGHT,
    format: ImageFormat = "png",
) -> bytes:
    """Accuracy, mean class recall and calibration error, a row a model and a column a dataset.

    Args:
        result: The matrix; cells without figures are dashes.
        names: What the models are called.
        theme: Colors.
        format: "png" or "svg".
    """
    home = any(cell.home for cell in result.cells)
    panels = []
    for number, (figure, title) in enumerate(TITLES.items()):
        values = np.full((len(names), len(result.targets)), np.nan)
        texts = [["–"] * len(result.targets) for _ in names]
        for row, model in enumerate(result.models):
            for column, target in enumerate(result.targets):
                cell = result.get_cell(model, target.name)
                if cell is not None and cell.evaluation is not None:
                    values[row, column] = getattr(cell.evaluation.report, figure)
                    texts[row][column] = _text(values[row, column]) + _HOME * cell.home
        note = f"\n{_HOME} the model's own dataset" if home and number == 0 else "\n" * home
        columns = [target.name for target in result.targets]
        panels.append(HeatPanel(title + note, names, columns, values, texts, 0, HIGHEST[figure]))
    return plot_heat_maps(panels, theme=theme, format=format)


def plot_robustness(
    result: Robustness, *, theme: Theme = LIGHT, format: ImageFormat = "png"
) -> bytes:
    """Accuracy and mean class recall, a row a kind and a column a severity, with their means."""
    columns = ["as it is", *(f"severity {s}" for s in result.severities), "mean"]
    panels = []
    for figure in ("accuracy", "uar"):
        clean = float(getattr(result.clean.report, figure))
        rows = [
            [
                clean,
                *(result.value(figure, kind, s) for s in result.severities),
                result.mean(figure, kind=kind),
            ]
            for kind in result.kinds
        ]
        by_severity = [result.mean(figure, severity=s) for s in result.severities]
        values = np.array([*rows, [clean, *by_severity, result.mean(figure)]])
        names = [*(kind.replace("_", " ") for kind in result.kinds), "mean"]
        texts = [[_text(value) for value in row] for row in values]
        panels.append(HeatPanel(TITLES[figure], names, columns, values, texts, 0, HIGHEST[figure]))
    return plot_heat_maps(panels, theme=theme, format=format)


def _text(share: float) -> str:
    return f"{100 * share:.1f}"
