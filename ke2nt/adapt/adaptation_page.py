"""The content of the HTML report of an adaptation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ke2nt.adapt.adapt_result import AdaptResult
from ke2nt.adapt.prediction_changes import PredictionChanges
from ke2nt.banks.text_bank import TextBank
from ke2nt.config.adapt import AdaptConfig
from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.score import Evaluation
from ke2nt.pages.faces import changed_faces
from ke2nt.pages.run_report import PromptMap, ReportTable, RunReport
from ke2nt.runtime.formatting import NOTHING, percent
from ke2nt.training.progress import Progress

__all__ = ["build_adaptation_report", "build_change_tables"]

_MAX_TRANSITIONS = 8


def build_adaptation_report(
    config: AdaptConfig,
    result: AdaptResult,
    progress: Progress,
    images: FaceTensors,
    facts: Mapping[str, Any],
    *,
    start_name: str,
    bank: TextBank | None,
) -> RunReport:
    """Build the report: what changed, how far to trust it, and metrics where there are labels.

    Args:
        config: The run's configuration.
        result: The comparison of both models.
        progress: The run's log.
        images: The target's images of the report.
        facts: Provenance: versions, seed, command.
        start_name: Name of the model before adaptation.
        bank: Text bank of the adapted model, None for a linear head.
    """
    split, selection = images.split, result.facts["selection"]
    data = (
        f"{len(images.usable)} images of {split.dataset} {split.split}; method "
        f"{config.adapt.method}, adapted to {result.facts['target']['adapted_to']} images. "
        f"Kept: {selection}. No label of the target was used for training or selection."
    )

    # metrics against labels come first, where there are labels
    tables = build_change_tables(result.changes)
    if result.before is not None and result.after is not None:
        tables = (_metrics_table(result.before, result.after), *tables)

    # the assessment is the first thing that a reader sees
    warning = " ".join([result.trust.sentence(), *result.trust.reasons])
    return RunReport(
        title=f"{start_name} adapted to {split.dataset} {split.split}",
        data=data,
        metrics=None if result.after is None else result.after.report,
        labels=result.facts["labels"],
        faces=changed_faces(*result.predictions, images),
        failed=tuple(images.failed.items()),
        records=progress.records,
        text=None if bank is None else PromptMap.from_bank(bank),
        config=config.model_dump(mode="json"),
        provenance=facts,
        command=facts.get("command"),
        warnings=(warning,),
        tables=tables,
    )


def build_change_tables(changes: PredictionChanges) -> tuple[ReportTable, ...]:
    """Build the tables of label-free metrics, predictions by class, and frequent transitions."""
    # (class, share before, share after)
    shares = [
        (name, percent(old), percent(new))
        for name, old, new in zip(
            changes.classes,
            changes.before.metrics.shares,
            changes.after.metrics.shares,
            strict=True,
        )
    ]
    # only the most frequent transitions
    transitions = [(a, b, f"{n:,}") for (a, b), n in changes.transitions[:_MAX_TRANSITIONS]]

    # in the order of the page
    return (
        _label_free_table(changes),
        ReportTable("Predictions by class", ("class", "before", "after"), shares),
        ReportTable("Predictions that changed", ("from", "to", "images"), transitions),
    )


def _label_free_table(changes: PredictionChanges) -> ReportTable:
    # a dash where there are no source images
    models = (changes.before, changes.after)
    rows = [
        ("mean confidence", *(percent(m.metrics.confidence) for m in models)),
        ("effective number of classes", *(f"{m.metrics.effective_classes:.1f}" for m in models)),
        ("mutual information, nats", *(f"{m.metrics.information:.3f}" for m in models)),
        ("distance of the domains, 0 to 2", *(_format_number(m.domain_distance) for m in models)),
        (
            "accuracy estimated from confidence",
            *(percent(m.expected_accuracy) for m in models),
        ),
        (
            "mean class recall on held-out source images",
            *(percent(m.source_uar) for m in models),
        ),
    ]

    # rows without values are left out
    return ReportTable(
        "Without labels",
        ("", "before", "after"),
        [row for row in rows if row[1] != NOTHING],
        f"The predicted class changed for {percent(changes.changed_share)} of "
        f"{changes.num_images:,} images. None of these metrics uses labels of the target. The "
        "estimated accuracy assumes that confidence means the same in both domains; it is often "
        "too high.",
    )


def _metrics_table(before: Evaluation, after: Evaluation) -> ReportTable:
    reports = (before.report, after.report)
    rows = [
        ("accuracy", *(percent(r.accuracy) for r in reports)),
        ("mean class recall (UAR)", *(percent(r.uar) for r in reports)),
        ("macro-F1", *(percent(r.macro_f1) for r in reports)),
        ("calibration error", *(percent(r.ece) for r in reports)),
    ]
    return ReportTable(
        "Against the target's labels",
        ("", "before", "after"),
        rows,
        "The labels were read after the adapted model had been saved. Classes that only one side "
        "has are left out.",
    )


def _format_number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"
