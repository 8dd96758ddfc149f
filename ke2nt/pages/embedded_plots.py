"""The plots of a page as data URIs, in both color schemes, with their texts."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ke2nt.pages.report_plots import report_plots
from ke2nt.pages.run_report import RunReport
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
    plots = report_plots(report)
    return {name: embed_plot(plot.draw, alt=plot.alt) for name, plot in plots.items()}
