"""The plot of risk against coverage."""

from __future__ import annotations

from ke2nt.evaluation.coverage import CoverageRisk
from ke2nt.plots.figure import ImageFormat, encode_figure, new_figure, style_axes
from ke2nt.plots.theme import LIGHT, Theme

__all__ = ["plot_coverage"]


def plot_coverage(
    curve: CoverageRisk,
    min_confidence: float | None = None,
    *,
    theme: Theme = LIGHT,
    format: ImageFormat = "png",
) -> bytes:
    """Plot the share of wrong answers among those given, against the share given.

    Args:
        curve: Result of `ke2nt.evaluation.coverage.coverage_risk`.
        min_confidence: A threshold to mark.
        theme: Colors.
        format: "png", "svg" or "pdf".
    """
    figure = new_figure(theme, 2.9)
    axes = style_axes(figure.add_subplot(), theme, grid="both")

    x, y = 100 * curve.coverage, 100 * curve.risk
    axes.fill_between(x, y, color=theme.accent, alpha=0.15, linewidth=0)
    axes.plot(x, y, color=theme.accent, linewidth=1.8)

    # A threshold that withholds every prediction has no point on the curve.
    if min_confidence is not None:
        share, wrong = curve.at(min_confidence)
        if wrong is not None:
            axes.axvline(100 * share, color=theme.wrong, linewidth=1.2, linestyle=(0, (4, 2)))
            axes.plot(100 * share, 100 * wrong, "o", color=theme.wrong, markersize=5)

    axes.set(xlim=(0, 101), xlabel="percent of faces with a prediction, most confident first")
    axes.set_ylim(0, max(1.0, 1.08 * float(y.max())))
    axes.set_ylabel("percent of these wrong")
    return encode_figure(figure, format)
