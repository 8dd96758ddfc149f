"""Tables of the prompt lab's results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ke2nt.cli.output import print_line, print_table, short_names
from ke2nt.runtime.formatting import percent_cell, percent_points

if TYPE_CHECKING:
    from ke2nt.promptlab.comparison import Comparison
    from ke2nt.promptlab.intervals import Metrics
    from ke2nt.promptlab.mcnemar import McNemar
    from ke2nt.promptlab.ranking import Entry, Ranking
    from ke2nt.promptlab.search_result import SearchResult
    from ke2nt.promptlab.text_geometry import Geometry
    from ke2nt.promptlab.units import Kind

_WORDS: dict[Kind, str] = {
    "template": "Templates: alone, and what the set's UAR gains by them",
    "word": "Class words: alone in their class, and what the set's UAR gains by them",
    "description": "Descriptions: alone in their class, and what the set's UAR gains by them",
}


def show_ranking(ranking: Ranking, top: int) -> None:
    """Sets, templates, words and descriptions, best first."""
    sets = ranking.entries_of_kind("all", "set")
    several = len(sets) > 1
    print_line(f"{sum(ranking.support)} images; labels: {ranking.labels['summary']}")
    print_table(
        ["set", "n prompts", "UAR %", "95 % interval #", "WAR %", "gain of all %"],
        [[e.text, e.prompts, *_scores(e.metrics), _gain(e)] for e in sets],
        title="Sets" + ": alone, and what all together gain by them" * several,
    )
    print_table(
        ["set", *(f"{name} #" for name in short_names(ranking.classes))],
        [[e.text, *map(percent_cell, e.metrics.recall)] for e in sets],
        title="Recall of each class, percent",
    )
    for kind, title in _WORDS.items():
        shown = ranking.best(top, kind)
        if not shown:
            continue
        columns = ["set"] * (len({e.prompt_set for e in shown}) > 1)
        columns += ["class"] * (kind != "template")
        print_table(
            [*columns, kind, "UAR %", "95 % interval #", "WAR %", "gain (interval) %"],
            [[*_place(e, columns), e.text, *_scores(e.metrics), _gain(e)] for e in shown],
            title=title,
        )
        if more := len(ranking.best(len(ranking.entries), kind)) - len(shown):
            print_line(f"… and {more} more: --top {2 * top}, or --json for all")


def show_search(search: SearchResult, split: str, final_split: str) -> None:
    """Contenders on both splits, and the prompts chosen."""
    rows: list[list[object]] = [
        ["prompts", *(sum(map(len, c.prompts.values())) for c in search.contenders)],
        [f"{split} UAR %", *(percent_cell(c.selection.uar) for c in search.contenders)],
    ]
    for title, name in (("UAR", "uar"), ("WAR", "accuracy")):
        found = [(getattr(c.final, name), c.final.intervals.get(name)) for c in search.contenders]
        rows.append([f"{final_split} {title} %", *(percent_cell(value) for value, _ in found)])
        rows.append(["  95 % interval", *(percent_cell(interval) for _, interval in found)])
    rows.append(
        [
            "selected has more %",
            *(percent_points(c.gain.uar, c.gain.intervals.get("uar")) if c.gain else ""
              for c in search.contenders),
        ]
    )  # fmt: skip
    rows.append(
        ["McNemar p", *(f"{c.test.p_value:.2g}" if c.test else "" for c in search.contenders)]
    )
    print_table(
        ["", *(f"{c.name} #" for c in search.contenders)],
        rows,
        title=f"Chosen on {split}, judged on {final_split}",
    )
    new = search.prompts
    if new.templates:
        print_table(["templates chosen"], [[text] for text in new.templates])
    else:
        rows = [[name, text] for name in new.class_names for text in new.render(name)]
        print_table(["class", "prompts chosen"], rows)
    for other in search.contenders[1:]:
        if other.test and other.test.p_value >= 0.05:
            print_line(
                f"on {final_split}, what was selected and the {other.name} may differ by chance "
                f"alone (McNemar p = {other.test.p_value:.2g})"
            )
    for note in search.notes:
        print_line(f"note: {note}")


def show_comparison(result: Comparison) -> None:
    """Both sets, their difference, and the test."""
    first, second = result.names
    one, two, gap = result.first, result.second, result.difference
    rows: list[list[object]] = [
        ["mean class recall (UAR)", "", percent_cell(one.uar), percent_cell(two.uar),
         percent_points(gap.uar, gap.intervals.get("uar")), ""],
        ["accuracy (WAR)", sum(result.support),
         percent_cell(one.accuracy), percent_cell(two.accuracy),
         percent_points(gap.accuracy, gap.intervals.get("accuracy")), f"{result.test.p_value:.2g}"],
    ]  # fmt: skip
    for k, name in enumerate(result.classes):
        change = gap.recall[k]
        rows.append(
            [
                name,
                result.support[k],
                percent_cell(one.recall[k]),
                percent_cell(two.recall[k]),
                percent_points(change, gap.recall_intervals[k]),
                f"{result.class_tests[k].p_value:.2g}",
            ]
        )
    print_table(
        ["figure", "n images", f"{first} %", f"{second} %", "difference (95 %) %", "McNemar p#"],
        rows,
    )
    print_line(_verdict(result.names, result.test))


def show_geometry(found: Geometry, top: int) -> None:
    """Classes, angles of the directions, and near-duplicates."""
    print_table(
        ["class", "n #", "nearest class", "cosine#", "to neutral#", "own prompts#",
         "other classes#", "own side %"],
        [
            [
                c.name,
                c.prompts,
                c.nearest or "–",
                _number(c.cosine),
                _number(c.distance_to_neutral),
                _number(c.separability.within if c.separability else None),
                _number(c.separability.between if c.separability else None),
                percent_cell(c.separability.recovered if c.separability else None),
            ]
            for c in found.classes
        ],
        title=f"{found.prompt_set} in {found.encoder}: margin {_number(found.margin)}",
    )  # fmt: skip
    names = [c.name for c in found.classes]
    print_table(
        ["cosine", *(f"{name} #" for name in short_names(names))],
        [[n, *map(_number, row)] for n, row in zip(names, found.similarity, strict=True)],
        title="Similarity of the classes",
    )
    print_table(
        ["degrees", *(f"{name} #" for name in short_names(found.direction_classes))],
        [
            [n, *(f"{v:.0f}" for v in row)]
            for n, row in zip(found.direction_classes, found.angles, strict=True)
        ],
        title="Angles between the directions from each emotion to neutral",
    )
    if found.near_duplicates == ():
        print_line(f"no two prompts are near-duplicates (cosine {found.threshold:g} or above)")
    elif found.near_duplicates:
        print_table(
            ["cosine#", "classes", "prompt", "prompt"],
            [
                [_number(p.cosine), " / ".join(dict.fromkeys(p.classes)), p.first, p.second]
                for p in found.near_duplicates[:top]
            ],
            title=f"Near-duplicates: {len(found.near_duplicates)} pairs "
            f"at {found.threshold:g} or above",
        )
    for note in found.notes:
        print_line(f"note: {note}")


def _place(entry: Entry, columns: list[str]) -> list[str]:
    known = {"set": entry.prompt_set, "class": entry.class_name or ""}
    return [known[column] for column in columns]


def _scores(metrics: Metrics) -> list[str]:
    return [
        percent_cell(metrics.uar),
        percent_cell(metrics.intervals.get("uar")),
        percent_cell(metrics.accuracy),
    ]


def _gain(entry: Entry) -> str:
    if entry.marginal is None:
        return "–"
    return percent_points(entry.marginal.uar, entry.marginal.intervals.get("uar"))


def _verdict(names: tuple[str, str], test: McNemar) -> str:
    kind = "exact binomial" if test.exact else "chi-squared"
    text = (
        f"McNemar ({kind}): {test.only_first} images only {names[0]} has right, "
        f"{test.only_second} only {names[1]}; p = {test.p_value:.2g}: "
    )
    if test.p_value >= 0.05:
        return text + "the difference may be chance"
    return text + f"{names[test.only_second > test.only_first]} is right more often"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
