"""An evaluation as tables, and what must be known of the run that was evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ke2nt.cli.output import print_line, print_table, short_names
from ke2nt.runtime.formatting import percent_cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ke2nt.data.sample import FaceSplit
    from ke2nt.evaluation.groups import GroupReport
    from ke2nt.evaluation.score import Evaluation
    from ke2nt.models.base import ExpressionModel

__all__ = ["evaluation_notes", "selection_notes", "show_evaluation", "show_groups"]


def evaluation_notes(run: str, model: ExpressionModel, split: FaceSplit) -> list[str]:
    """What makes figures of a model on a split too good."""
    return selection_notes(run, model.card, split) + calibration_notes(model, split)


def selection_notes(run: str, card: Mapping[str, Any], split: FaceSplit) -> list[str]:
    """What a run or a model's card says of how its kept epoch was chosen, if it matters here."""
    if not (Path(run) / "run.json").is_file():
        return [
            note
            for facts in card.get("evaluations", ())
            if (facts.get("dataset"), facts.get("split")) == (split.dataset, split.split)
            for note in facts.get("notes", ())
        ]
    from ke2nt.training.run_directory import RunDirectory

    selection = RunDirectory(run).read("run.json").get("selection", {})
    notes = list(selection.get("notes", ()))
    same = (selection.get("dataset"), selection.get("split")) == (split.dataset, split.split)
    if same and not notes and selection.get("rule") != "last epoch":
        notes.append(
            f"The epoch was chosen on this split ({split.split}); its figures are optimistic."
        )
    return notes


def calibration_notes(model: ExpressionModel, split: FaceSplit) -> list[str]:
    """What must be said where the model's calibration was fitted on the very split."""
    calibration = model.calibration
    on = {} if calibration is None else calibration.fitted_on
    if (on.get("dataset"), on.get("split")) != (split.dataset, split.split):
        return []
    return [
        f"The calibration was fitted on this split ({split.split}); its calibration error here is "
        "optimistic. The model card has the cross-fitted one."
    ]


def show_evaluation(result: Evaluation, options: dict[str, Any], notes: list[str]) -> None:
    """Figures, classes and the confusion matrix."""
    from ke2nt.pages.evaluation_report import describe_data

    report = result.report
    print_line(describe_data(result, options))
    titles = {
        "accuracy": "accuracy (WAR)",
        "uar": "mean class recall (UAR)",
        "macro_f1": "macro-F1",
    }
    rows = [
        [title, percent_cell(getattr(report, name)), percent_cell(report.intervals.get(name))]
        for name, title in titles.items()
    ]
    rows.append(["calibration error (ECE)", percent_cell(report.ece), ""])
    if result.uncalibrated is not None:
        rows.append(["ECE before calibration", percent_cell(result.uncalibrated.ece), ""])
    print_table(["figure", "value %", "95 % interval"], rows)
    print_table(
        ["class", "n images", "recall %", "95 % interval", "precision %", "F1 %"],
        [
            [
                c.name,
                c.support,
                percent_cell(c.recall),
                percent_cell(c.recall_interval),
                percent_cell(c.precision),
                percent_cell(c.f1),
            ]
            for c in report.per_class
        ],
    )
    print_table(
        ["true \\ predicted", *(f"{name} #" for name in short_names(report.classes))],
        [[name, *row] for name, row in zip(report.classes, report.confusion, strict=True)],
        title="Confusion matrix (images)",
    )
    if result.mapping.merged or result.mapping.dropped or result.mapping.unused:
        dropped = sum(result.dropped.values())
        print_line(f"labels: {result.mapping.describe()}" + f" ({dropped} images)" * bool(dropped))
    for note in notes:
        print_line(f"note: {note}")


def show_groups(reports: Sequence[GroupReport]) -> None:
    """A table for each attribute, and how far its groups are apart."""
    from ke2nt.pages.phrases import describe_groups

    for report in reports:
        print_table(
            [report.attribute, "n images", "accuracy %", "95 % interval", "UAR %", "95 % interval"],
            [
                [
                    group.name + ("" if group.compared else " (few)"),
                    group.n,
                    percent_cell(group.accuracy),
                    percent_cell(group.accuracy_interval),
                    percent_cell(group.uar),
                    percent_cell(group.uar_interval),
                ]
                for group in report.groups
            ],
        )
        print_line(f"{report.attribute}: {describe_groups(report)}")
