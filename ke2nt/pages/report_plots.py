"""The plots that a report has data for, to be drawn into a page or into files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ke2nt.pages import phrases
from ke2nt.pages.run_report import PromptMap, RunReport, training_curves
from ke2nt.plots import evaluation_plots
from ke2nt.plots.coverage_plot import plot_coverage
from ke2nt.plots.figure import ImageFormat

__all__ = ["ReportPlot", "draw_report_plots", "report_plots"]


@dataclass(frozen=True)
class ReportPlot:
    """A plot that is not drawn yet.

    Attributes:
        draw: Draws it; takes `theme` and `format`.
        alt: The plot in words.
    """

    draw: Callable[..., bytes]
    alt: str


def draw_report_plots(report: RunReport, *, format: ImageFormat) -> dict[str, bytes]:
    """Draw the plots of a report as files: file name → content."""
    plots = report_plots(report)
    return {f"{name}.{format}": plot.draw(format=format) for name, plot in plots.items()}


def report_plots(report: RunReport) -> dict[str, ReportPlot]:
    """Return the plots that a report has data for, by name."""
    plots = _metrics_plots(report)

    losses, scores = training_curves(report.records)
    if losses or scores:
        draw = partial(evaluation_plots.plot_training_curves, losses, scores)
        alt = "Training curves: " + ", ".join([*losses, *scores]) + " over the epochs."
        plots["curves"] = ReportPlot(draw, alt)
    if report.text is not None:
        plots["similarity"] = _similarity_plot(report.text)
    return plots


def _metrics_plots(report: RunReport) -> dict[str, ReportPlot]:
    """Plots of the metrics, before and after calibration."""
    plots: dict[str, ReportPlot] = {}
    metrics = report.metrics
    if metrics is not None:
        plots["confusion"] = ReportPlot(
            partial(evaluation_plots.plot_confusion, metrics), phrases.describe_confusions(metrics)
        )
        plots["recall"] = ReportPlot(
            partial(evaluation_plots.plot_recall, metrics), phrases.describe_recalls(metrics)
        )
        plots["reliability"] = ReportPlot(
            partial(evaluation_plots.plot_reliability, metrics),
            phrases.describe_calibration(metrics),
        )

    # Before calibration, if the model has one.
    raw = report.uncalibrated
    if raw is not None:
        plots["uncalibrated"] = ReportPlot(
            partial(evaluation_plots.plot_reliability, raw), phrases.describe_calibration(raw)
        )
    if report.coverage is not None:
        plots["coverage"] = ReportPlot(
            partial(plot_coverage, report.coverage, report.min_confidence),
            phrases.describe_coverage(report.coverage, report.min_confidence),
        )
    return plots


def _similarity_plot(text: PromptMap) -> ReportPlot:
    """Cosines between the class texts, and the neutral anchor if it is not one of them."""
    names, vectors = list(text.classes), text.embeddings
    if text.anchor is not None:
        names, vectors = [*names, "neutral anchor"], np.vstack([vectors, text.anchor])
    draw = partial(evaluation_plots.plot_similarity, names, vectors)
    return ReportPlot(draw, phrases.describe_similarity(names, vectors))
