"""Results of the lab as plots: file name → content, PNG unless another format is chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ke2nt.plots.bar_plots import plot_bars, plot_differences, plot_marginals
from ke2nt.plots.bars import Bar
from ke2nt.plots.figure import ImageFormat
from ke2nt.plots.heat_map import HeatPanel, plot_heat_maps
from ke2nt.promptlab.comparison import Comparison
from ke2nt.promptlab.intervals import Metrics
from ke2nt.promptlab.ranking import Entry, Ranking
from ke2nt.promptlab.search_result import SearchResult
from ke2nt.promptlab.text_geometry import Geometry

__all__ = ["plot_comparison", "plot_geometry", "plot_ranking", "plot_search"]

_MAX_ROWS = 40


def plot_ranking(
    ranking: Ranking, *, most: int = _MAX_ROWS, format: ImageFormat = "png"
) -> dict[str, bytes]:
    """Plot bars with intervals of sets, templates and words, and a heat map of recalls.

    Args:
        ranking: Result of `rank`.
        most: Maximum rows of a plot; the best are shown, equally many of each class.
        format: "png", "svg" or "pdf".
    """
    sets = ranking.entries_of_kind("set")
    several = len({entry.prompt_set for entry in sets}) > 1
    per_class = max(1, most // len(ranking.classes))
    groups = {
        "rank_sets": ranking.best(most, "set", "all") if several else [],
        "rank_templates": ranking.best(most, "template"),
        "rank_words": ranking.best(per_class, "word", "description"),
    }

    # A line marks the whole ensemble of all rows; words of several sets have no ensemble in common.
    whole = (ranking.entries_of_kind("all") or sets)[0].metrics.uar
    plots = {
        f"{name}.{format}": plot_marginals(
            _label_rows(entries),
            [_uar_bar(entry.metrics) for entry in entries],
            [_uar_bar(entry.marginal) if entry.marginal else None for entry in entries],
            whole=whole if name == "rank_sets" or not several else None,
            format=format,
        )
        for name, entries in groups.items()
        if entries
    }
    plots[f"rank_recall.{format}"] = _plot_recalls(ranking, most, format)
    return plots


def _plot_recalls(ranking: Ranking, most: int, format: ImageFormat) -> bytes:
    """Heat map of each class's recall, for sets and templates."""
    entries = [*ranking.entries_of_kind("all", "set"), *ranking.entries_of_kind("template")][:most]
    recalls = [[np.nan if r is None else 100 * r for r in e.metrics.recall] for e in entries]
    panel = HeatPanel(
        title="recall, percent",
        rows=_label_rows(entries),
        columns=ranking.classes,
        values=np.array(recalls),
        texts=[["–" if np.isnan(v) else f"{v:.0f}" for v in row] for row in recalls],
        low=0,
        high=100,
    )
    return plot_heat_maps([panel], format=format)


def plot_search(search: SearchResult, *, format: ImageFormat = "png") -> dict[str, bytes]:
    """Plot the selected ensemble against the single best and the full one, on both splits."""
    contenders = search.contenders
    selected, full = contenders[0], contenders[-1]
    names = [f"{c.name} ({sum(map(len, c.prompts.values()))} prompts)" for c in contenders]

    # All contenders by UAR, then the two extremes class by class.
    return {
        f"search.{format}": plot_bars(
            names,
            {
                "selection split (optimistic)": [_uar_bar(c.selection) for c in contenders],
                "untouched split": [_uar_bar(c.final) for c in contenders],
            },
            xlabel="UAR, percent",
            format=format,
        ),
        f"search_classes.{format}": plot_differences(
            ["UAR", "accuracy (WAR)", *search.prompts.class_names],
            _all_bars(full.final),
            _all_bars(selected.final),
            _all_bars(full.gain) if full.gain else [],
            legend=(full.name, selected.name),
            title="on the untouched split",
            format=format,
        ),
    }


def plot_comparison(comparison: Comparison, *, format: ImageFormat = "png") -> dict[str, bytes]:
    """Plot the recall of every class with both sets, and the differences with their intervals."""
    return {
        f"compare.{format}": plot_differences(
            ["UAR", "accuracy (WAR)", *comparison.classes],
            _all_bars(comparison.first),
            _all_bars(comparison.second),
            _all_bars(comparison.difference),
            legend=comparison.names,
            title=f"McNemar p = {comparison.test.p_value:.2g}",
            format=format,
        )
    }


def plot_geometry(geometry: Geometry, *, format: ImageFormat = "png") -> dict[str, bytes]:
    """Plot cosines of the classes, and angles between their directions towards neutral."""
    names = [c.name for c in geometry.classes]
    cosine = geometry.similarity
    # The least similar classes get the background's color, so that differences show.
    panels = [
        HeatPanel(
            title="cosine of the class embeddings",
            rows=names,
            columns=names,
            values=cosine,
            texts=[[f"{v:.2f}".replace("0.", ".", 1) for v in row] for row in cosine],
            low=float(cosine.min()),
            high=1.0,
        )
    ]

    # A single direction has no angle to another.
    if len(geometry.direction_classes) > 1:
        panels.append(_build_angle_panel(geometry))
    return {f"geometry.{format}": plot_heat_maps(panels, format=format)}


def _build_angle_panel(geometry: Geometry) -> HeatPanel:
    """Angles between directions, with an empty diagonal."""
    angles = geometry.angles
    diagonal = np.eye(len(angles), dtype=bool)
    off_diagonal = angles[~diagonal]

    # The angle of a direction with itself says nothing.
    texts = [[f"{v:.0f}" for v in row] for row in angles]
    for i in range(len(angles)):
        texts[i][i] = ""

    return HeatPanel(
        title="degrees between the directions to neutral",
        rows=geometry.direction_classes,
        columns=geometry.direction_classes,
        values=np.where(diagonal, np.nan, angles),
        texts=texts,
        low=float(off_diagonal.min()) - 1,
        high=float(off_diagonal.max()),
    )


def _label_rows(entries: Sequence[Entry]) -> list[str]:
    """Names of rows, with the set in brackets if the words come from several sets."""
    parts = [entry for entry in entries if entry.kind not in ("all", "set")]
    several = len({entry.prompt_set for entry in parts}) > 1

    labels = []
    for entry in entries:
        label = f"{entry.class_name}: {entry.text}" if entry.class_name else entry.text
        if several and entry.kind not in ("all", "set"):
            label += f"  [{entry.prompt_set}]"
        labels.append(label)
    return labels


def _uar_bar(metrics: Metrics) -> Bar:
    return Bar(metrics.uar, metrics.intervals.get("uar"))


def _all_bars(metrics: Metrics) -> list[Bar | None]:
    """UAR, accuracy, and each class's recall."""
    recalls: Sequence[Bar | None] = [
        None if value is None else Bar(value, interval)
        for value, interval in zip(metrics.recall, metrics.recall_intervals, strict=True)
    ]
    accuracy = Bar(metrics.accuracy, metrics.intervals.get("accuracy"))
    return [_uar_bar(metrics), accuracy, *recalls]
