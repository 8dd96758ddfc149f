"""Results of the lab as tables for files."""

from __future__ import annotations

from ke2nt.promptlab.comparison import Comparison
from ke2nt.promptlab.intervals import Metrics
from ke2nt.promptlab.ranking import Ranking
from ke2nt.promptlab.search_result import SearchResult
from ke2nt.promptlab.text_geometry import Geometry
from ke2nt.tables.table import Cell, Column, Estimate, Table

__all__ = ["comparison_tables", "geometry_tables", "ranking_tables", "search_tables"]


def ranking_tables(ranking: Ranking) -> list[Table]:
    """Build a row for each set, template, word and description, and its recall of each class."""
    units = [Column("kind", "kind"), Column("set", "set"), Column("class", "class")]
    units.append(Column("text", "text"))
    columns = [
        *units,
        Column("prompts", "prompts", "count"),
        Column("uar", "UAR %", "share"),
        Column("accuracy", "WAR %", "share"),
        Column("gain", "gain of UAR", "difference"),
    ]

    rows: list[list[Cell]] = []
    recalls: list[list[Cell]] = []
    for entry in ranking.entries:
        names = [entry.kind, entry.prompt_set, entry.class_name, entry.text]
        gain = None if entry.marginal is None else _uar(entry.marginal)
        rows.append(
            [*names, entry.prompts, _uar(entry.metrics), _accuracy(entry.metrics), gain],
        )
        recalls.append([*names, *entry.metrics.recall])

    classes = [Column(name, f"{name} %", "share") for name in ranking.classes]
    return [Table(columns, rows), Table([*units, *classes], recalls, name="recall")]


def comparison_tables(result: Comparison) -> list[Table]:
    """Build a row for each metric and each class: both sets, their difference, the test."""
    first, second = result.names
    columns = [
        Column("metric", "metric"),
        Column("n", "images", "count"),
        Column("first", f"{first} %", "share"),
        Column("second", f"{second} %", "share"),
        Column("difference", "difference", "difference"),
        Column("p", "McNemar p", "number", digits=3),
    ]

    # metrics over all images first, then each class with its own test
    sides = (result.first, result.second, result.difference)
    rows: list[list[Cell]] = [
        ["UAR", None, *map(_uar, sides), None],
        ["WAR", sum(result.support), *map(_accuracy, sides), result.test.p_value],
    ]
    for k, name in enumerate(result.classes):
        recalls = [Estimate(side.recall[k], side.recall_intervals[k]) for side in sides]
        rows.append([name, result.support[k], *recalls, result.class_tests[k].p_value])
    return [Table(columns, rows)]


def search_tables(search: SearchResult) -> list[Table]:
    """Build a row for each contender with its metrics on both splits, and the chosen prompts."""
    columns = [
        Column("prompts", "prompts"),
        Column("count", "number", "count"),
        Column("selection_uar", "UAR % (selection)", "share"),
        Column("final_uar", "UAR % (final)", "share"),
        Column("final_accuracy", "WAR % (final)", "share"),
        Column("gain", "gain of selected", "difference"),
        Column("p", "McNemar p", "number", digits=3),
    ]

    # the selected prompts have neither gain nor test
    rows: list[list[Cell]] = [
        [
            each.name,
            sum(map(len, each.prompts.values())),
            _uar(each.selection),
            _uar(each.final),
            _accuracy(each.final),
            None if each.gain is None else _uar(each.gain),
            None if each.test is None else each.test.p_value,
        ]
        for each in search.contenders
    ]

    new = search.prompts
    chosen: list[list[Cell]] = [
        [name, text] for name in new.class_names for text in new.render(name)
    ]
    prompts = Table([Column("class", "class"), Column("prompt", "prompt")], chosen, name="prompts")
    return [Table(columns, rows), prompts]


def geometry_tables(geometry: Geometry) -> list[Table]:
    """Build a row for each class, and the cosines between classes."""
    columns = [
        Column("class", "class"),
        Column("prompts", "prompts", "count"),
        Column("nearest", "nearest class"),
        Column("cosine", "cosine", "number", digits=2),
        Column("distance_to_neutral", "to neutral", "number", digits=2),
    ]

    rows: list[list[Cell]] = [
        [each.name, each.prompts, each.nearest, each.cosine, each.distance_to_neutral]
        for each in geometry.classes
    ]

    names = [each.name for each in geometry.classes]
    cosines = [Column(name, name, "number", digits=2) for name in names]
    similarity: list[list[Cell]] = [
        [name, *map(float, row)] for name, row in zip(names, geometry.similarity, strict=True)
    ]
    return [
        Table(columns, rows),
        Table([Column("class", "cosine"), *cosines], similarity, name="similarity"),
    ]


def _uar(metrics: Metrics) -> Estimate:
    return Estimate(metrics.uar, metrics.intervals.get("uar"))


def _accuracy(metrics: Metrics) -> Estimate:
    return Estimate(metrics.accuracy, metrics.intervals.get("accuracy"))
