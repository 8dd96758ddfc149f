"""The results of a few-shot experiment as a figure and as a page."""

from __future__ import annotations

from functools import partial

from ke2nt.fewshot.names import ZERO_SHOT
from ke2nt.fewshot.result import FewShotResult
from ke2nt.pages.few_shot_page import build_few_shot_page
from ke2nt.pages.table_page import TablePage
from ke2nt.plots.figure import ImageFormat
from ke2nt.plots.shot_curves import plot_shot_curves
from ke2nt.plots.theme import LIGHT, Theme

__all__ = ["build_page", "plot_few_shot"]

_TITLES = {"accuracy": "accuracy (WAR)", "uar": "mean class recall (UAR)"}


def plot_few_shot(
    result: FewShotResult, *, theme: Theme = LIGHT, format: ImageFormat = "png"
) -> bytes:
    """Plot accuracy and UAR of every method over the number of shots."""
    panels = {title: result.curves(metric) for metric, title in _TITLES.items()}
    return plot_shot_curves(panels, baseline=ZERO_SHOT, theme=theme, format=format)


def build_page(result: FewShotResult, *, command: str) -> TablePage:
    """Build the contents of the HTML page."""
    facts = result.facts
    lead = (
        f"Encoder {facts['encoder']}, prompts {facts['prompts']}, {len(result.labels)} images of "
        f"{facts['dataset']} {facts['split']}."
    )
    return build_few_shot_page(
        partial(plot_few_shot, result),
        result.tables(),
        lead=lead,
        notes=[facts["validation_rule"], *result.notes],
        command=command,
    )
