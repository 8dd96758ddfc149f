"""The plots of an evaluation report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from ke2nt.evaluation.metrics import ClassificationReport
from ke2nt.plots.figure import (
    SMALL,
    TEXT,
    ImageFormat,
    add_legend,
    encode_figure,
    new_figure,
    style_axes,
)
from ke2nt.plots.theme import LIGHT, Theme

__all__ = [
    "plot_confusion",
    "plot_recall",
    "plot_reliability",
    "plot_similarity",
    "plot_training_curves",
]

_MIN_SIDE = 4.3  # inches
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.5, 1.5)))


def plot_confusion(
    report: ClassificationReport, *, theme: Theme = LIGHT, format: ImageFormat = "png"
) -> bytes:
    """Plot the confusion matrix: percent of each true class, with the counts below."""
    counts = report.confusion
    support = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, support, out=np.full(counts.shape, np.nan), where=support > 0)

    # Cells without images stay empty.
    texts = [
        [(f"{100 * s:.0f}", f"{n}") if n else ("", "") for s, n in zip(*rows, strict=True)]
        for rows in zip(share, counts, strict=True)
    ]
    figure, axes = _draw_square(share, texts, report.classes, theme, low=0, high=1)
    axes.set_xlabel("predicted (percent of the true class, count below)")
    axes.set_ylabel("true")
    return encode_figure(figure, format)


def plot_similarity(
    names: Sequence[str],
    embeddings: np.ndarray,
    *,
    theme: Theme = LIGHT,
    format: ImageFormat = "png",
) -> bytes:
    """Plot the cosines between text embeddings, shaded from the lowest value to 1.

    Args:
        names: M names, in order.
        embeddings: (M, D), any norm but 0.
        theme: Colors.
        format: "png", "svg" or "pdf".
    """
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosine = np.clip(unit @ unit.T, -1, 1)

    texts = [[(f"{value:.2f}".replace("0.", "."), "") for value in row] for row in cosine]
    figure, axes = _draw_square(cosine, texts, names, theme, low=float(cosine.min()), high=1)
    axes.set_xlabel("cosine similarity of the text embeddings")
    return encode_figure(figure, format)


def plot_recall(
    report: ClassificationReport, *, theme: Theme = LIGHT, format: ImageFormat = "png"
) -> bytes:
    """Plot every class's recall with its 95 % interval, and a line at their mean (UAR)."""
    classes = report.per_class
    figure = new_figure(theme, 0.75 + 0.31 * len(classes))
    axes = style_axes(figure.add_subplot(), theme, grid="x")

    # The number stands at a fixed place, as a bar's interval may reach far to the right.
    for row, metrics in enumerate(classes):
        if metrics.recall is None:
            axes.text(1, row, "no images", va="center", size=SMALL, color=theme.muted)
            continue
        value = 100 * metrics.recall
        axes.barh(row, value, height=0.62, color=theme.accent, alpha=0.55)
        if metrics.recall_interval:
            low, high = (100 * x for x in metrics.recall_interval)
            axes.plot([low, high], [row, row], color=theme.ink, linewidth=1.6)
            axes.plot([low, high], [row, row], "|", color=theme.ink, markersize=6)
        axes.text(103, row, f"{value:.0f} %", va="center", size=TEXT, color=theme.ink)

    axes.axvline(100 * report.uar, color=theme.wrong, linewidth=1.2, linestyle=(0, (4, 2)))
    title = f"mean over classes (UAR) {100 * report.uar:.1f} %"
    axes.set_title(title, size=TEXT, color=theme.wrong, loc="right")

    axes.set_yticks(range(len(classes)), [f"{c.name} ({c.support})" for c in classes])
    axes.set(xlim=(0, 115), xticks=range(0, 101, 20), xlabel="recall, percent")
    axes.invert_yaxis()
    return encode_figure(figure, format)


def plot_reliability(
    report: ClassificationReport, *, theme: Theme = LIGHT, format: ImageFormat = "png"
) -> bytes:
    """Plot accuracy against confidence, one dot per bin, above a histogram of confidence."""
    bins = report.calibration
    figure = new_figure(theme, 4.3)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    style_axes(axes, theme, grid="both")
    style_axes(below, theme, grid="y")

    # A dot's distance from the diagonal is its bin's calibration error, its area the share of
    # images.
    axes.plot([0, 1], [0, 1], color=theme.muted, linewidth=1, linestyle=(0, (4, 3)))
    for b in bins:
        if b.confidence is None or b.accuracy is None:
            continue
        axes.plot([b.confidence] * 2, [b.confidence, b.accuracy], color=theme.wrong, linewidth=1.5)
        area = 14 + 110 * b.count / report.n
        axes.scatter(b.confidence, b.accuracy, s=area, color=theme.accent, zorder=3)

    middles = [(b.low + b.high) / 2 for b in bins]
    shares = [100 * b.count / report.n for b in bins]
    below.bar(middles, shares, width=0.9 / len(bins), color=theme.accent, alpha=0.55)

    axes.text(0.04, 0.9, f"ECE {report.ece:.3f}", size=10, color=theme.ink)
    axes.set(ylim=(-0.03, 1.03), xlim=(0, 1.03), ylabel="accuracy")
    below.set(xlabel="confidence", ylabel="% of images")
    return encode_figure(figure, format)


def plot_training_curves(
    losses: Mapping[str, Sequence[tuple[float, float]]],
    scores: Mapping[str, Sequence[tuple[float, float]]],
    *,
    theme: Theme = LIGHT,
    format: ImageFormat = "png",
) -> bytes:
    """Plot parts of the training loss above, and scores on the validation split below.

    Args:
        losses: Name → (epoch, value) points.
        scores: Name → (epoch, value in [0, 1]) points, drawn in percent.
        theme: Colors.
        format: "png", "svg" or "pdf".
    """
    panels = [(losses, 1, "training loss"), (scores, 100, "validation, percent")]
    panels = [panel for panel in panels if panel[0]]
    figure = new_figure(theme, 0.4 + 2.1 * len(panels))
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]

    for axes, (lines, unit, label) in zip(grid, panels, strict=True):
        style_axes(axes, theme, grid="y")
        _draw_lines(axes, lines, unit, theme)
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        add_legend(axes, theme)

    grid[-1].set_xlabel("epoch")
    return encode_figure(figure, format)


def _draw_lines(
    axes: Axes, lines: Mapping[str, Sequence[tuple[float, float]]], unit: float, theme: Theme
) -> None:
    """Draw lines that differ in color and dashes; single points are marked on short lines."""
    for n, (name, points) in enumerate(lines.items()):
        x, y = zip(*points, strict=True)
        axes.plot(
            x,
            [unit * value for value in y],
            label=name,
            color=theme.series[n % len(theme.series)],
            linestyle=_DASHES[n % len(_DASHES)],
            linewidth=1.6,
            marker="o" if len(x) < 15 else None,
            markersize=3,
        )


def _draw_square(
    values: np.ndarray,
    texts: Sequence[Sequence[tuple[str, str]]],
    names: Sequence[str],
    theme: Theme,
    *,
    low: float,
    high: float,
) -> tuple[Figure, Axes]:
    """Draw a heat map of K × K cells, each with a text and a smaller one below it."""
    k = len(names)
    side = max(_MIN_SIDE, 1.1 + 0.4 * k)
    figure = new_figure(theme, side * 0.94, side)
    axes = style_axes(figure.add_subplot(), theme)

    # (K, K) in [0, 1]; empty cells have the background's color
    colors = LinearSegmentedColormap.from_list("heat", [theme.surface, theme.accent])
    shade = np.clip((np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-9), 0, 1)
    axes.pcolormesh(shade, cmap=colors, vmin=0, vmax=1, edgecolors=theme.line, linewidth=0.6)

    # texts lie within their cells: the layout, which takes most of the time, leaves them out
    for (row, column), share in np.ndenumerate(shade):
        big, small = texts[row][column]
        centered: dict[str, Any] = {
            "ha": "center",
            "va": "center",
            "color": theme.readable_on(colors(float(share))[:3]),
            "in_layout": False,
        }
        if small:
            axes.text(column + 0.5, row + 0.75, small, size=6, **centered)
        if big:
            axes.text(column + 0.5, row + (0.4 if small else 0.5), big, size=TEXT, **centered)

    middles = np.arange(k) + 0.5
    axes.set_xticks(middles, names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(middles, names)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    return figure, axes
