"""Matrices of figures as tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from ke2nt.cli.output import percent, percent_range, print_line, print_table

if TYPE_CHECKING:
    from ke2nt.evaluation.cross import CrossEvaluation
    from ke2nt.evaluation.robustness import Robustness

__all__ = ["model_names", "show_cross", "show_robustness"]


def model_names(models: Sequence[str]) -> list[str]:
    """Models by the last part of their folder, where that tells them apart."""
    short = [PurePath(model.removesuffix("/model")).name for model in models]
    return short if len(set(short)) == len(short) else list(models)


def show_cross(result: CrossEvaluation) -> None:
    """Every pair with intervals, two matrices, and how labels were joined."""
    names = dict(zip(result.models, model_names(result.models), strict=True))
    rows = []
    for cell in result.cells:
        pair = [names[cell.model], cell.target + " *" * cell.home]
        if cell.evaluation is None:
            rows.append([*pair, *["–"] * 8])
            continue
        report = cell.evaluation.report
        rows.append(
            [
                *pair,
                str(report.n),
                str(len(report.classes)),
                percent(report.accuracy),
                percent_range(report.intervals.get("accuracy")),
                percent(report.uar),
                percent_range(report.intervals.get("uar")),
                percent(report.macro_f1),
                percent(report.ece),
            ]
        )
    columns = ["model", "dataset", "n images", "n classes", "WAR %", "95 % interval"]
    print_table([*columns, "UAR %", "95 % interval", "macro-F1 %", "ECE %"], rows)
    if any(cell.home for cell in result.cells):
        print_line("* the model's own dataset")
    if len(result.models) > 1 and len(result.targets) > 1:
        for figure, title in (("accuracy", "WAR"), ("uar", "UAR")):
            print_table(
                ["model", *(f"{target.name} #" for target in result.targets)],
                [
                    [names[m], *(_figure(result, m, t.name, figure) for t in result.targets)]
                    for m in result.models
                ],
                title=f"{title}, percent",
            )
    _show_labels(result, names)


def _figure(result: CrossEvaluation, model: str, target: str, figure: str) -> str:
    cell = result.at(model, target)
    if cell is None or cell.evaluation is None:
        return "–"
    return percent(getattr(cell.evaluation.report, figure))


def _show_labels(result: CrossEvaluation, names: dict[str, str]) -> None:
    for cell in result.cells:
        pair = f"{names[cell.model]} on {cell.target}"
        evaluation = cell.evaluation
        if evaluation is None:
            continue
        dropped = sum(evaluation.dropped.values())
        lost = f" ({dropped} images)" * bool(dropped)
        print_line(f"labels, {pair}: {evaluation.mapping.describe()}{lost}")
        if evaluation.failed:
            count, example = len(evaluation.failed), evaluation.failed[0][1]
            print_line(f"unreadable, {pair}: {count} images, for example: {example}")
        for note in cell.notes:
            print_line(f"note, {pair}: {note}")


def show_robustness(result: Robustness, title: str, notes: Sequence[str]) -> None:
    """A row a kind, a column a severity, and means; then the mean of each severity."""
    print_line(f"{title}: {result.clean.report.n} images; as they are:")
    report = result.clean.report
    print_line(
        f"  WAR {percent(report.accuracy)} %, UAR {percent(report.uar)} %, "
        f"macro-F1 {percent(report.macro_f1)} %, ECE {percent(report.ece)} %"
    )
    for figure, name in (("accuracy", "WAR"), ("uar", "UAR")):
        rows = [
            [
                kind.replace("_", " "),
                *(percent(result.value(figure, kind, s)) for s in result.severities),
                percent(result.mean(figure, kind=kind)),
            ]
            for kind in result.kinds
        ]
        means = [percent(result.mean(figure, severity=s)) for s in result.severities]
        rows.append(["mean", *means, percent(result.mean(figure))])
        print_table(
            [f"{name}, percent, at severity", *(f"{s} #" for s in result.severities), "mean #"],
            rows,
        )
    print_line(f"labels: {result.clean.mapping.describe()}")
    for note in notes:
        print_line(f"note: {note}")
