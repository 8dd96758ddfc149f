"""Heat maps of a zero-shot matrix: models with prompt sets on datasets."""

from __future__ import annotations

from itertools import product

import numpy as np

from ke2nt.evaluation.zero_shot_matrix import ZeroShotMatrix
from ke2nt.plots.figure import ImageFormat
from ke2nt.plots.heat_map import HeatPanel, plot_heat_maps
from ke2nt.plots.matrix_plots import HIGHEST, TITLES
from ke2nt.plots.theme import LIGHT, Theme
from ke2nt.runtime.formatting import NOTHING, percent_cell

__all__ = ["plot_zero_shot_matrix"]


def plot_zero_shot_matrix(
    matrix: ZeroShotMatrix, *, theme: Theme = LIGHT, format: ImageFormat = "png"
) -> bytes:
    """Plot accuracy, mean class recall and calibration error; cells that failed are dashes.

    Args:
        matrix: The evaluations.
        theme: Colors.
        format: "png", "svg" or "pdf".
    """
    pairs = list(product(matrix.encoders, matrix.prompts))
    rows = [f"{encoder}, {prompts}" for encoder, prompts in pairs]
    columns = [target.name for target in matrix.targets]
    reports = {
        cell.names: cell.result.evaluation.report
        for cell in matrix.cells
        if cell.result is not None
    }

    # (rows, columns), NaN where there is no evaluation
    panels = []
    for metric, title in TITLES.items():
        values = np.full((len(rows), len(columns)), np.nan)
        for (r, pair), (c, target) in product(enumerate(pairs), enumerate(columns)):
            report = reports.get((*pair, target))
            values[r, c] = np.nan if report is None else getattr(report, metric)
        texts = [[NOTHING if np.isnan(v) else percent_cell(v) for v in row] for row in values]
        panels.append(HeatPanel(title, rows, columns, values, texts, 0, HIGHEST[metric]))
    return plot_heat_maps(panels, theme=theme, format=format)
