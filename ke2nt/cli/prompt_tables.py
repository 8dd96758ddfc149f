"""Results of the prompt experiments as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ke2nt.cli.output import print_line, print_notes, print_table, short_names
from ke2nt.runtime.formatting import percent_cell, percent_points

if TYPE_CHECKING:
    from ke2nt.promptlab.comparison import Comparison
    from ke2nt.promptlab.intervals import Metrics
    from ke2nt.promptlab.mcnemar import McNemar
    from ke2nt.promptlab.ranking import Entry, Ranking
    from ke2nt.promptlab.search_result import Contender, SearchResult
    from ke2nt.promptlab.text_geometry import ClassGeometry, Geometry
    from ke2nt.promptlab.units import Kind

__all__ = ["show_comparison", "show_geometry", "show_ranking", "show_search"]

_TITLES: dict[Kind, str] = {
    "template": "Templates: alone, and what they add to the set's UAR",
    "word": "Class words: alone in their class, and what they add to the set's UAR",
    "description": "Descriptions: alone in their class, and what they add to the set's UAR",
}
_SIGNIFICANT = 0.05  # p-values below are no longer called chance


def show_ranking(ranking: Ranking, top: int) -> None:
    """Print sets, templates, words and descriptions, best first."""
    sets = ranking.entries_of_kind("all", "set")
    print_line(f"{sum(ranking.support)} images; labels: {ranking.labels['summary']}")

    # with one set there is nothing to add to
    gains = ": alone, and what they add to all together" if len(sets) > 1 else ""
    print_table(
        ["set", "n prompts", "UAR %", "95 % interval #", "WAR %", "gain of all %"],
        [
            [entry.text, entry.prompts, *_metric_cells(entry.metrics), _gain(entry)]
            for entry in sets
        ],
        title=f"Sets{gains}",
    )
    print_table(
        ["set", *(f"{name} #" for name in short_names(ranking.classes))],
        [[entry.text, *map(percent_cell, entry.metrics.recall)] for entry in sets],
        title="Recall of each class, percent",
    )
    for kind, title in _TITLES.items():
        _show_best(ranking, kind, title, top)


def _show_best(ranking: Ranking, kind: Kind, title: str, top: int) -> None:
    """Print the best templates, words or descriptions, if there are any."""
    best = ranking.best(top, kind)
    if not best:
        return

    # columns that would be the same in every row are left out
    columns = []
    if len({entry.prompt_set for entry in best}) > 1:
        columns.append("set")
    if kind != "template":
        columns.append("class")
    rows = []
    for entry in best:
        names = {"set": entry.prompt_set, "class": entry.class_name or ""}
        owners = [names[column] for column in columns]
        rows.append([*owners, entry.text, *_metric_cells(entry.metrics), _gain(entry)])
    print_table(
        [*columns, kind, "UAR %", "95 % interval #", "WAR %", "gain (interval) %"],
        rows,
        title=title,
    )

    # long tables are cut, with a hint at how to see the rest
    hidden = len(ranking.best(len(ranking.entries), kind)) - len(best)
    if hidden:
        print_line(f"… and {hidden} more: --top {2 * top}, or --json for all")


def _metric_cells(metrics: Metrics) -> list[str]:
    return [
        percent_cell(metrics.uar),
        percent_cell(metrics.intervals.get("uar")),
        percent_cell(metrics.accuracy),
    ]


def _gain(entry: Entry) -> str:
    return _uar_points(entry.marginal)


def _uar_points(difference: Metrics | None) -> str:
    if difference is None:
        return "–"
    return percent_points(difference.uar, difference.intervals.get("uar"))


def show_search(search: SearchResult, split: str, final_split: str) -> None:
    """Print the contenders on both splits, and the chosen prompts."""
    contenders = search.contenders
    gains = ["" if each.gain is None else _uar_points(each.gain) for each in contenders]
    p_values = ["" if each.test is None else f"{each.test.p_value:.2g}" for each in contenders]
    rows: list[list[object]] = [
        ["prompts", *(sum(map(len, each.prompts.values())) for each in contenders)],
        [f"{split} UAR %", *(percent_cell(each.selection.uar) for each in contenders)],
        *_final_rows(contenders, final_split),
        ["gain of selected %", *gains],
        ["McNemar p", *p_values],
    ]

    # a column for each contender
    print_table(
        ["", *(f"{each.name} #" for each in contenders)],
        rows,
        title=f"Chosen on {split}, scored on {final_split}",
    )

    # shared templates are a short list; otherwise every class has its prompts
    new = search.prompts
    if new.templates:
        print_table(["templates chosen"], [[text] for text in new.templates])
    else:
        prompts = [[name, text] for name in new.class_names for text in new.render(name)]
        print_table(["class", "prompts chosen"], prompts)

    # a gain that may be chance is said to be one
    for other in contenders[1:]:
        if other.test and other.test.p_value >= _SIGNIFICANT:
            print_line(
                f"on {final_split}, the difference between the selected prompts and "
                f"{other.name} may be due to chance (McNemar p = {other.test.p_value:.2g})"
            )
    print_notes(search.notes)


def _final_rows(contenders: tuple[Contender, ...], final_split: str) -> list[list[object]]:
    """Return UAR and WAR on the final split, each with a row of intervals."""
    rows: list[list[object]] = []
    for title, name in (("UAR", "uar"), ("WAR", "accuracy")):
        values = [getattr(each.final, name) for each in contenders]
        intervals = [each.final.intervals.get(name) for each in contenders]
        rows.append([f"{final_split} {title} %", *map(percent_cell, values)])
        rows.append(["  95 % interval", *map(percent_cell, intervals)])
    return rows


def show_comparison(result: Comparison) -> None:
    """Print both sets, their difference, and the test."""
    first, second, gap = result.first, result.second, result.difference
    rows: list[list[object]] = [
        [
            "mean class recall (UAR)",
            "",
            percent_cell(first.uar),
            percent_cell(second.uar),
            percent_points(gap.uar, gap.intervals.get("uar")),
            "",
        ],
        [
            "accuracy (WAR)",
            sum(result.support),
            percent_cell(first.accuracy),
            percent_cell(second.accuracy),
            percent_points(gap.accuracy, gap.intervals.get("accuracy")),
            f"{result.test.p_value:.2g}",
        ],
    ]

    # a row for each class, with its own test
    for k, name in enumerate(result.classes):
        rows.append(
            [
                name,
                result.support[k],
                percent_cell(first.recall[k]),
                percent_cell(second.recall[k]),
                percent_points(gap.recall[k], gap.recall_intervals[k]),
                f"{result.class_tests[k].p_value:.2g}",
            ]
        )

    sets = [f"{name} %" for name in result.names]
    print_table(["metric", "n images", *sets, "difference (95 %) %", "McNemar p#"], rows)
    print_line(_verdict(result.names, result.test))


def _verdict(names: tuple[str, str], test: McNemar) -> str:
    # few discordant images make the chi-squared approximation poor
    kind = "exact binomial" if test.exact else "chi-squared"
    text = (
        f"McNemar ({kind}): only {names[0]} is right on {test.only_first} images, "
        f"only {names[1]} on {test.only_second}; p = {test.p_value:.2g}: "
    )
    if test.p_value >= _SIGNIFICANT:
        return text + "the difference may be due to chance"
    better = names[1] if test.only_second > test.only_first else names[0]
    return text + f"{better} is right more often"


def show_geometry(geometry: Geometry, top: int) -> None:
    """Print classes, angles of the directions, and near-duplicates."""
    columns = ["class", "n #", "nearest class", "cosine#", "to neutral#"]
    columns += ["same class#", "other classes#", "right class %"]
    print_table(
        columns,
        [_class_cells(each) for each in geometry.classes],
        title=f"{geometry.prompt_set} in {geometry.encoder}: margin {_number(geometry.margin)}",
    )

    # (K, K) cosines, then (M, M) angles of the classes that have a direction
    names = [each.name for each in geometry.classes]
    similarities = zip(names, geometry.similarity, strict=True)
    print_table(
        ["cosine", *(f"{name} #" for name in short_names(names))],
        [[name, *map(_number, row)] for name, row in similarities],
        title="Similarity of the classes",
    )
    angles = zip(geometry.direction_classes, geometry.angles, strict=True)
    print_table(
        ["degrees", *(f"{name} #" for name in short_names(geometry.direction_classes))],
        [[name, *(f"{angle:.0f}" for angle in row)] for name, row in angles],
        title="Angles between the directions from each emotion to neutral",
    )

    # within a class they waste prompts, across classes they confuse
    _show_near_duplicates(geometry, top)
    print_notes(geometry.notes)


def _class_cells(geometry: ClassGeometry) -> list[object]:
    # single prompts may not have been embedded
    apart = geometry.separability
    return [
        geometry.name,
        geometry.prompts,
        geometry.nearest or "–",
        _number(geometry.cosine),
        _number(geometry.distance_to_neutral),
        _number(apart.within if apart else None),
        _number(apart.between if apart else None),
        percent_cell(apart.recovered if apart else None),
    ]


def _show_near_duplicates(geometry: Geometry, top: int) -> None:
    if geometry.near_duplicates is None:  # prompts were not embedded one by one
        return
    if not geometry.near_duplicates:
        print_line(f"no near-duplicate prompts (cosine {geometry.threshold:g} or above)")
        return

    rows = []
    for pair in geometry.near_duplicates[:top]:
        classes = " / ".join(dict.fromkeys(pair.classes))
        rows.append([_number(pair.cosine), classes, pair.first, pair.second])
    print_table(
        ["cosine#", "classes", "prompt", "prompt"],
        rows,
        title=f"Near-duplicates: {len(geometry.near_duplicates)} pairs at {geometry.threshold:g} "
        "or above",
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
