"""The report pages: each one HTML file that needs no network and no script."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from ke2nt._version import __version__
from ke2nt.pages import phrases
from ke2nt.pages.run_report import RunReport, training_curves
from ke2nt.pages.table_page import TablePage
from ke2nt.plots import coverage_plot, evaluation_plots, figure
from ke2nt.plots.theme import DARK, LIGHT
from ke2nt.runtime.atomic import write_text

__all__ = ["render_report", "render_tables", "write_report"]

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class _Picture:
    light: str
    dark: str
    alt: str


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _picture(draw: Callable[..., bytes], *arguments: Any, alt: str) -> _Picture:
    light, dark = (
        _uri(draw(*arguments, theme=theme, format="svg"), "svg+xml") for theme in (LIGHT, DARK)
    )
    return _Picture(light, dark, alt)


def _pictures(report: RunReport) -> dict[str, _Picture]:
    found: dict[str, _Picture] = {}
    if (result := report.metrics) is not None:
        found["confusion"] = _picture(
            evaluation_plots.plot_confusion, result, alt=phrases.describe_confusions(result)
        )
        found["recall"] = _picture(
            evaluation_plots.plot_recall, result, alt=phrases.describe_recalls(result)
        )
        found["reliability"] = _picture(
            evaluation_plots.plot_reliability, result, alt=phrases.describe_calibration(result)
        )
    if (raw := report.uncalibrated) is not None:
        found["uncalibrated"] = _picture(
            evaluation_plots.plot_reliability, raw, alt=phrases.describe_calibration(raw)
        )
    if (curve := report.coverage) is not None:
        found["coverage"] = _picture(
            coverage_plot.plot_coverage,
            curve,
            report.min_confidence,
            alt=phrases.describe_coverage(curve, report.min_confidence),
        )
    losses, scores = training_curves(report.records)
    if losses or scores:
        alt = "Training curves: " + ", ".join([*losses, *scores]) + " over the epochs."
        found["curves"] = _picture(evaluation_plots.plot_training_curves, losses, scores, alt=alt)
    if (text := report.text) is not None:
        names, vectors = list(text.classes), text.embeddings
        if text.anchor is not None:
            names, vectors = [*names, "neutral anchor"], np.vstack([vectors, text.anchor])
        alt = phrases.describe_similarity(names, vectors)
        found["similarity"] = _picture(evaluation_plots.plot_similarity, names, vectors, alt=alt)
    return found


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{key}.")
        elif item is not None:
            yield f"{prefix}{key}", item


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}"


def _percent(value: float, digits: int = 1) -> str:
    return f"{_number(value, digits)}\N{NO-BREAK SPACE}%"


def render_report(report: RunReport) -> str:
    """The page as HTML text; class names, prompts and all other texts are escaped."""
    return _render(
        "report.html.j2",
        title=report.title,
        report=report,
        pictures=_pictures(report),
        provenance=list(_flat(report.provenance or {})),
        config=json.dumps(report.config, indent=2, ensure_ascii=False, default=str),
    )


def render_tables(page: TablePage) -> str:
    """The page as HTML text; all texts are escaped."""
    return _render(
        "tables.html.j2",
        title=page.title,
        page=page,
        sections=[(section, _picture(section.draw, alt=section.alt)) for section in page.sections],
        provenance=list(_flat(page.provenance)),
    )


def _render(template: str, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = _percent
    environment.filters["number"] = _number
    environment.filters["describe_groups"] = phrases.describe_groups
    environment.filters["face"] = lambda pixels: _uri(figure.encode_png(pixels), "png")
    return environment.get_template(template).render(
        **values, light=asdict(LIGHT), dark=asdict(DARK), version=__version__
    )


def write_report(path: str | Path, report: RunReport) -> Path:
    """Write the page atomically.

    Returns:
        The file that was written.
    """
    path = Path(path)
    write_text(path, render_report(report))
    return path
