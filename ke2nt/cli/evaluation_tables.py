"""An evaluation as tables, and the notes that belong to its metrics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ke2nt.cli.output import print_line, print_notes, print_table, short_names
from ke2nt.runtime.formatting import percent_cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ke2nt.data.sample import FaceSplit
    from ke2nt.evaluation.groups import GroupReport
    from ke2nt.evaluation.metrics import ClassificationReport
    from ke2nt.evaluation.score import Evaluation
    from ke2nt.models.base import ExpressionModel
    from ke2nt.training.seen_images import SeenImages
    from ke2nt.vlm.base import ImageEncoder

__all__ = [
    "encoder_notes",
    "evaluation_notes",
    "selection_notes",
    "show_evaluation",
    "show_groups",
    "training_notes",
]

_METRICS = {
    "accuracy": "accuracy (WAR)",
    "uar": "mean class recall (UAR)",
    "macro_f1": "macro-F1",
}


def training_notes(seen: SeenImages | None, card: Mapping[str, Any], split: FaceSplit) -> list[str]:
    """Return a note if the model, or the one it was started from, was trained on this split."""
    note = None if seen is None else seen.note()
    if note is not None:
        return [note]

    # without a record of the images, cards name the split
    trained_on = (card.get("config") or {}).get("data") or {}
    start = card.get("started_from") or {}
    this_split = (split.dataset, split.split)
    if (
        seen is None
        and ((card.get("data") or {}).get("name"), trained_on.get("train_split")) == this_split
    ):
        who = "The model"
    elif this_split in (start.get("train_splits") or {}).items():
        who = f"The model that this one was started from, {start.get('model')},"
    else:
        return []
    return [
        f"{who} was trained on this split ({split.split}): the metrics here are too high. Use "
        "images that it has not seen."
    ]


def evaluation_notes(run: str, model: ExpressionModel, split: FaceSplit) -> list[str]:
    """Return notes on metrics of a model that are optimistic on this split."""
    return selection_notes(run, model.card, split) + _calibration_notes(model, split)


def encoder_notes(name: str, encoder: ImageEncoder, split: FaceSplit) -> list[str]:
    """Return notes on how the epoch of a trained model was chosen; none for other encoders."""
    from ke2nt.evaluation.trained_encoder import TrainedEncoder

    if not isinstance(encoder, TrainedEncoder):
        return []
    return selection_notes(name.removeprefix("run:"), encoder.card, split)


def selection_notes(run: str, card: Mapping[str, Any], split: FaceSplit) -> list[str]:
    """Return what a run or a model's card says about how its epoch was chosen, if that matters."""
    this_split = (split.dataset, split.split)

    # a model without its run: the card repeats the notes of its evaluations
    if not (Path(run) / "run.json").is_file():
        evaluations = [
            facts
            for facts in card.get("evaluations", ())
            if (facts.get("dataset"), facts.get("split")) == this_split
        ]
        return [note for facts in evaluations for note in facts.get("notes", ())]

    from ke2nt.training.run_directory import RunDirectory

    selection = RunDirectory(run).read("run.json").get("selection", {})
    notes = list(selection.get("notes", ()))
    chosen_here = (selection.get("dataset"), selection.get("split")) == this_split
    if selection.get("carved_from") is not None:
        # the part that the run set aside is also called val, as a split of the data may be
        names = set(RunDirectory(run).read("split.json")["val"]["names"])
        chosen_here = chosen_here and any(sample.name in names for sample in split.samples)
    if chosen_here and not notes and selection.get("rule") != "last epoch":
        notes.append(
            f"The epoch was chosen on this split ({split.split}); its metrics are optimistic."
        )
    return notes


def _calibration_notes(model: ExpressionModel, split: FaceSplit) -> list[str]:
    """Return a note if the model's calibration was fitted on this very split."""
    fitted_on = {} if model.calibration is None else model.calibration.fitted_on
    if (fitted_on.get("dataset"), fitted_on.get("split")) != (split.dataset, split.split):
        return []
    return [
        f"The calibration was fitted on this split ({split.split}); its calibration error here is "
        "optimistic. The section Calibration of the model card has the cross-fitted one."
    ]


def show_evaluation(result: Evaluation, options: dict[str, Any], notes: list[str]) -> None:
    """Print metrics, classes and the confusion matrix."""
    from ke2nt.pages.evaluation_report import describe_data

    print_line(describe_data(result, options))
    _show_metrics(result)
    _show_classes(result.report)
    print_table(
        ["true \\ predicted", *(f"{name} #" for name in short_names(result.report.classes))],
        [
            [name, *row]
            for name, row in zip(result.report.classes, result.report.confusion, strict=True)
        ],
        title="Confusion matrix (images)",
    )

    # silent when the label sets are the same
    mapping = result.mapping
    if mapping.merged or mapping.dropped or mapping.unused:
        dropped = sum(result.dropped.values())
        print_line(f"labels: {mapping.describe()}" + (f" ({dropped} images)" if dropped else ""))
    print_notes(notes)


def _show_metrics(result: Evaluation) -> None:
    report = result.report
    rows = [
        [title, percent_cell(getattr(report, name)), percent_cell(report.intervals.get(name))]
        for name, title in _METRICS.items()
    ]

    # calibration errors have no interval
    rows.append(["calibration error (ECE)", percent_cell(report.ece), ""])
    if result.uncalibrated is not None:
        rows.append(["ECE before calibration", percent_cell(result.uncalibrated.ece), ""])
    print_table(["metric", "value %", "95 % interval"], rows)


def _show_classes(report: ClassificationReport) -> None:
    print_table(
        ["class", "n images", "recall %", "95 % interval", "precision %", "F1 %"],
        [
            [
                scores.name,
                scores.support,
                percent_cell(scores.recall),
                percent_cell(scores.recall_interval),
                percent_cell(scores.precision),
                percent_cell(scores.f1),
            ]
            for scores in report.per_class
        ],
    )


def show_groups(reports: Sequence[GroupReport]) -> None:
    """Print a table for each attribute, and how far its groups are apart."""
    from ke2nt.pages.phrases import describe_groups

    for report in reports:
        # groups of few images are shown, but not compared with the others
        rows = [
            [
                group.name if group.compared else f"{group.name} (few)",
                group.n,
                percent_cell(group.accuracy),
                percent_cell(group.accuracy_interval),
                percent_cell(group.uar),
                percent_cell(group.uar_interval),
            ]
            for group in report.groups
        ]
        print_table(
            [report.attribute, "n images", "accuracy %", "95 % interval", "UAR %", "95 % interval"],
            rows,
        )
        print_line(f"{report.attribute}: {describe_groups(report)}")
