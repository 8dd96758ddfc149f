"""Results of the lab as pictures: file name → PNG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ke2nt.plots.bar_plots import Bar, plot_bars, plot_differences, plot_marginals
from ke2nt.plots.heat_map import HeatPanel, plot_heat_maps
from ke2nt.promptlab.comparison import Comparison
from ke2nt.promptlab.intervals import Metrics
from ke2nt.promptlab.ranking import Entry, Ranking
from ke2nt.promptlab.search_result import Search
from ke2nt.promptlab.text_geometry import Geometry

__all__ = ["plot_comparison", "plot_geometry", "plot_ranking", "plot_search"]

_MOST_ROWS = 40


def plot_ranking(ranking: Ranking, *, most: int = _MOST_ROWS) -> dict[str, bytes]:
    """Bars with intervals of sets, of templates and of words, and recalls as a heat map.

    Args:
        ranking: What to show.
        most: Rows of one picture at most; the best are shown, of each class as many.
    """
    pictures: dict[str, bytes] = {}
    whole = [
        e for e in ranking.entries_of_kind("set", "all") if e.kind == "all"
    ] or ranking.entries_of_kind("set")
    only = whole[0].metrics.uar if len(whole) == 1 else None
    several = len({e.prompt_set for e in ranking.entries_of_kind("set")}) > 1
    each = max(1, most // len(ranking.classes))
    groups = {
        "rank_sets.png": ranking.best(most, "set", "all") if several else [],
        "rank_templates.png": ranking.best(most, "template"),
        "rank_words.png": ranking.best(each, "word", "description"),
    }
    for name, shown in groups.items():
        if shown:
            pictures[name] = plot_marginals(
                _labels(shown),
                [_bar(entry.metrics) for entry in shown],
                [_bar(entry.marginal) if entry.marginal else None for entry in shown],
                whole=only if name == "rank_sets.png" or not several else None,
            )
    rows = [*ranking.entries_of_kind("all", "set"), *ranking.entries_of_kind("template")][:most]
    values = np.array([[np.nan if r is None else 100 * r for r in e.metrics.recall] for e in rows])
    pictures["rank_recall.png"] = plot_heat_maps(
        [
            HeatPanel(
                "recall, percent",
                _labels(rows),
                ranking.classes,
                values,
                [["–" if np.isnan(v) else f"{v:.0f}" for v in row] for row in values],
                0,
                100,
            )
        ]
    )
    return pictures


def plot_search(search: Search) -> dict[str, bytes]:
    """The selected ensemble against the single best and the full one, on both splits."""
    contenders = search.contenders
    names = [f"{c.name} ({sum(map(len, c.prompts.values()))} prompts)" for c in contenders]
    selected = contenders[0]
    classes = search.prompts.class_names
    full = contenders[-1]
    return {
        "search.png": plot_bars(
            names,
            {
                "selection split (optimistic)": [_bar(c.selection) for c in contenders],
                "untouched split": [_bar(c.final) for c in contenders],
            },
            xlabel="UAR, percent",
        ),
        "search_classes.png": plot_differences(
            ["UAR", "accuracy (WAR)", *classes],
            _column(full.final),
            _column(selected.final),
            _column(full.gain) if full.gain else [],
            legend=(full.name, selected.name),
            title="on the untouched split",
        ),
    }


def plot_comparison(comparison: Comparison) -> dict[str, bytes]:
    """Recall of every class under both, and the differences with their intervals."""
    return {
        "compare.png": plot_differences(
            ["UAR", "accuracy (WAR)", *comparison.classes],
            _column(comparison.first),
            _column(comparison.second),
            _column(comparison.difference),
            legend=comparison.names,
            title=f"McNemar p = {comparison.test.p_value:.2g}",
        )
    }


def plot_geometry(geometry: Geometry) -> dict[str, bytes]:
    """Cosines of the classes, and angles between their directions towards neutral."""
    names = [c.name for c in geometry.classes]
    cosine, angles = geometry.similarity, geometry.angles
    panels = [
        HeatPanel(
            "cosine of the class embeddings",
            names,
            names,
            cosine,
            [[f"{v:.2f}".replace("0.", ".", 1) for v in row] for row in cosine],
            float(cosine.min()),
            1.0,
        )
    ]
    if len(geometry.moves) > 1:
        off = angles[~np.eye(len(angles), dtype=bool)]
        panels.append(
            HeatPanel(
                "degrees between the directions to neutral",
                geometry.moves,
                geometry.moves,
                np.where(np.eye(len(angles), dtype=bool), np.nan, angles),
                [
                    ["" if i == j else f"{v:.0f}" for j, v in enumerate(row)]
                    for i, row in enumerate(angles)
                ],
                float(off.min()) - 1,
                float(off.max()),
            )
        )
    return {"geometry.png": plot_heat_maps(panels)}


def _labels(entries: Sequence[Entry]) -> list[str]:
    """Names of rows, with the set where the words are of several."""
    within = [entry.kind not in ("all", "set") for entry in entries]
    sets = {entry.prompt_set for entry, yes in zip(entries, within, strict=True) if yes}
    return [
        (f"{entry.class_name}: " if entry.class_name else "")
        + entry.text
        + (f"  [{entry.prompt_set}]" if yes and len(sets) > 1 else "")
        for entry, yes in zip(entries, within, strict=True)
    ]


def _bar(metrics: Metrics) -> Bar:
    return Bar(metrics.uar, metrics.intervals.get("uar"))


def _column(metrics: Metrics) -> list[Bar | None]:
    """UAR, accuracy, and each class's recall."""
    recalls: Sequence[Bar | None] = [
        None if value is None else Bar(value, interval)
        for value, interval in zip(metrics.recall, metrics.recall_intervals, strict=True)
    ]
    return [_bar(metrics), Bar(metrics.accuracy, metrics.intervals.get("accuracy")), *recalls]
