"""HTML reports: each one file that needs no network and runs no script."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from ke2nt._version import __version__
from ke2nt.pages.embedded_plots import embed_plot, embed_report_plots, to_data_uri
from ke2nt.pages.phrases import describe_groups, unbroken_percent
from ke2nt.pages.run_report import RunReport
from ke2nt.pages.table_page import TablePage
from ke2nt.plots.figure import encode_png
from ke2nt.plots.theme import DARK, LIGHT
from ke2nt.runtime.atomic import write_text
from ke2nt.runtime.formatting import percent_cell

__all__ = ["render_report", "render_tables", "render_template", "write_report"]

_TEMPLATES = Path(__file__).parent / "templates"


def render_report(report: RunReport) -> str:
    """Return the page as HTML; class names, prompts and all other texts are escaped."""
    return render_template(
        "report.html.j2",
        title=report.title,
        report=report,
        plots=embed_report_plots(report),
        provenance=list(_flatten(report.provenance or {})),
        config=json.dumps(report.config, indent=2, ensure_ascii=False, default=str),
    )


def render_tables(page: TablePage) -> str:
    """Return the page as HTML; all texts are escaped."""
    return render_template(
        "tables.html.j2",
        title=page.title,
        page=page,
        sections=[
            (section, embed_plot(section.draw, alt=section.alt)) for section in page.sections
        ],
        provenance=list(_flatten(page.provenance)),
    )


def write_report(path: str | Path, report: RunReport) -> Path:
    """Write the page atomically.

    Returns:
        The file that was written.
    """
    path = Path(path)
    write_text(path, render_report(report))
    return path


def render_template(template: str, **values: Any) -> str:
    """Render a file of `templates/` to HTML, with the values that all pages share.

    All values are escaped.
    """
    page = _environment().get_template(template)
    return page.render(**values, light=asdict(LIGHT), dark=asdict(DARK), version=__version__)


@cache
def _environment() -> jinja2.Environment:
    """Templates with escaping, and the filters that they use."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = unbroken_percent
    environment.filters["number"] = percent_cell
    environment.filters["describe_groups"] = describe_groups
    environment.filters["face"] = _encode_face
    return environment


def _encode_face(pixels: np.ndarray) -> str:
    return to_data_uri(encode_png(pixels), "png")


def _flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ("a.b", value) for every value of nested mappings that is not None."""
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flatten(item, f"{prefix}{key}.")
        elif item is not None:
            yield f"{prefix}{key}", item
