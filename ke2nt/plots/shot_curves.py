"""Curves of metrics over the number of training images of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from ke2nt.plots.figure import SMALL, TEXT, ImageFormat, encode_figure, new_figure, style_axes
from ke2nt.plots.theme import LIGHT, Theme
from ke2nt.tables.table import Estimate

__all__ = ["Curves", "plot_shot_curves"]

Curves = Mapping[str, Sequence[tuple[str, Estimate]]]
"""Name of a line → its points: number of shots as text, and a share in [0, 1]."""

_MARKERS = "osD^vP"
_SPREAD = 0.05  # between lines, so that their error bars can be told apart


def plot_shot_curves(
    panels: Mapping[str, Curves],
    *,
    baseline: str,
    theme: Theme = LIGHT,
    format: ImageFormat = "png",
) -> bytes:
    """Plot a panel for each metric, with a line and error bars of one standard deviation.

    Args:
        panels: Title of a metric → its curves.
        baseline: Name of the curve that does not depend on shots; a dashed line.
        theme: Colors.
        format: "png", "svg" or "pdf".
    """
    curves = next(iter(panels.values()))
    shots = list(dict.fromkeys(s for name, p in curves.items() if name != baseline for s, _ in p))
    shots.sort(key=lambda text: (not text.isdigit(), int(text) if text.isdigit() else 0))

    figure = new_figure(theme, 2.9 * len(panels) + 0.5)
    for axes, (title, lines) in zip(
        figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels.items(), strict=True
    ):
        style_axes(axes, theme, grid="y")
        _draw_lines(axes, lines, shots, baseline, theme)
        axes.set_title(title, size=TEXT, color=theme.ink, loc="left")
        axes.set_xticks(range(len(shots)), shots)
        axes.set_xlim(-0.4, max(len(shots) - 0.6, 0.4))
        axes.set_ylabel("percent")
    axes.set_xlabel("training images of each class")

    # one legend for all panels
    handles, names = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside upper left",
        ncols=3,
        frameon=False,
        fontsize=SMALL,
        labelcolor=theme.ink,
    )
    return encode_figure(figure, format)


def _draw_lines(
    axes: Axes, lines: Curves, shots: Sequence[str], baseline: str, theme: Theme
) -> None:
    """Draw the lines of one metric."""
    others = [name for name in lines if name != baseline]
    for k, name in enumerate(others):
        points = [(s, e) for s, e in lines[name] if e.value is not None]
        shift = _SPREAD * (k - (len(others) - 1) / 2)
        deviations = [100 * (estimate.deviation or 0) for _, estimate in points]
        axes.errorbar(
            [shots.index(text) + shift for text, _ in points],
            [100 * (estimate.value or 0) for _, estimate in points],
            # a single seed has no deviation, and no caps across its markers
            yerr=deviations if any(deviations) else None,
            color=theme.series[k % len(theme.series)],
            marker=_MARKERS[k % len(_MARKERS)],
            markersize=3.5,
            linewidth=1.4,
            elinewidth=0.8,
            capsize=2,
            label=name,
        )

    # needs no training images, and so has one value
    for _, estimate in lines.get(baseline, ()):
        value = 100 * (estimate.value or 0)
        style = (0, (4, 2))
        axes.axhline(value, color=theme.muted, linewidth=1.2, linestyle=style, label=baseline)
