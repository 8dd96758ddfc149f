"""The plots of a page as data URIs, in both color schemes, with their texts."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ke2nt.pages import phrases
from ke2nt.pages.run_report import PromptMap, RunReport, training_curves
from ke2nt.plots import evaluation_plots
from ke2nt.plots.coverage_plot import plot_coverage
from ke2nt.plots.theme import DARK, LIGHT

__all__ = ["EmbeddedPlot", "embed_plot", "embed_report_plots", "to_data_uri"]


@dataclass(frozen=True)
class EmbeddedPlot:
    """A plot in the page's two color schemes.

    Attributes:
        light: Data URI for light mode and print.
        dark: Data URI for dark mode.
        alt: The plot in words.
    """

    light: str
    dark: str
    alt: str


def to_data_uri(image: bytes, subtype: str) -> str:
    """Encode an image file as a data URI; the subtype is that of its media type."""
    return f"data:image/{subtype};base64,{base64.b64encode(image).decode()}"


def embed_plot(draw: Callable[..., bytes], *arguments: Any, alt: str) -> EmbeddedPlot:
    """Draw a plot in both color schemes; `draw` also takes `theme` and `format`."""
    light, dark = (
        to_data_uri(draw(*arguments, theme=theme, format="svg"), "svg+xml")
        for theme in (LIGHT, DARK)
    )
    return EmbeddedPlot(light, dark, alt)


def embed_report_plots(report: RunReport) -> dict[str, EmbeddedPlot]:
    """Draw the plots that a report has data for, by their names in the template."""
    plots = _embed_metrics_plots(report)

    losses, scores = training_curves(report.records)
    if losses or scores:
        alt = "Training curves: " + ", ".join([*losses, *scores]) + " over the epochs."
        plots["curves"] = embed_plot(evaluation_plots.plot_training_curves, losses, scores, alt=alt)
    if report.text is not None:
        plots["similarity"] = _embed_similarity(report.text)
    return plots


def _embed_metrics_plots(report: RunReport) -> dict[str, EmbeddedPlot]:
    """Plots of the metrics, before and after calibration."""
    plots: dict[str, EmbeddedPlot] = {}
    metrics = report.metrics
    if metrics is not None:
        plots["confusion"] = embed_plot(
            evaluation_plots.plot_confusion, metrics, alt=phrases.describe_confusions(metrics)
        )
        plots["recall"] = embed_plot(
            evaluation_plots.plot_recall, metrics, alt=phrases.describe_recalls(metrics)
        )
        plots["reliability"] = embed_plot(
            evaluation_plots.plot_reliability, metrics, alt=phrases.describe_calibration(metrics)
        )

    # Before calibration, if the model has one.
    raw = report.uncalibrated
    if raw is not None:
        plots["uncalibrated"] = embed_plot(
            evaluation_plots.plot_reliability, raw, alt=phrases.describe_calibration(raw)
        )
    if report.coverage is not None:
        alt = phrases.describe_coverage(report.coverage, report.min_confidence)
        plots["coverage"] = embed_plot(
            plot_coverage, report.coverage, report.min_confidence, alt=alt
        )
    return plots


def _embed_similarity(text: PromptMap) -> EmbeddedPlot:
    """Cosines between the class texts, and the neutral anchor if it is not one of them."""
    names, vectors = list(text.classes), text.embeddings
    if text.anchor is not None:
        names, vectors = [*names, "neutral anchor"], np.vstack([vectors, text.anchor])
    alt = phrases.describe_similarity(names, vectors)
    return embed_plot(evaluation_plots.plot_similarity, names, vectors, alt=alt)
