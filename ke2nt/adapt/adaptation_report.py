"""The HTML report of an adaptation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ke2nt.config.adapt import AdaptConfig
from ke2nt.data.tensors import FaceTensors
from ke2nt.models.base import ExpressionModel
from ke2nt.pages.faces import changed_faces
from ke2nt.pages.render import write_report
from ke2nt.pages.run_report import PromptMap, ReportTable, RunReport
from ke2nt.training.checkpoint import Progress
from ke2nt.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from ke2nt.adapt.adapt_model import AdaptResult
    from ke2nt.adapt.answer_changes import Changes

__all__ = ["change_tables", "write_adaptation_report"]

_MOVES = 8


def change_tables(changes: Changes) -> tuple[ReportTable, ...]:
    """What changed, as tables: figures, answers by class, the most frequent moves."""
    sides = (changes.before, changes.after)
    rows = [
        ("mean confidence", *(_percent(s.answers.confidence) for s in sides)),
        ("classes in use, effectively", *(f"{s.answers.effective_classes:.1f}" for s in sides)),
        ("information, nats", *(f"{s.answers.information:.3f}" for s in sides)),
        ("distance of the domains, 0 to 2", *(_number(s.distance) for s in sides)),
        ("accuracy that the confidence lets expect", *(_percent(s.expected) for s in sides)),
        ("mean class recall on held-out source images", *(_percent(s.source_uar) for s in sides)),
    ]
    shares = [
        (name, _percent(old), _percent(new))
        for name, old, new in zip(
            changes.classes,
            changes.before.answers.shares,
            changes.after.answers.shares,
            strict=True,
        )
    ]
    moves = [(a, b, f"{n:,}") for (a, b), n in changes.moves[:_MOVES]]
    return (
        ReportTable(
            "Without labels",
            ("", "before", "after"),
            [row for row in rows if row[1] != "–"],
            f"{changes.changed:.1%} of {changes.n:,} images are answered otherwise now. None of "
            "these figures needs a label of the target; an expected accuracy assumes that "
            "confidence means the same in both domains and is often too high.",
        ),
        ReportTable("Answers by class", ("class", "before", "after"), shares),
        ReportTable("Answers that changed", ("from", "to", "images"), moves),
    )


def write_adaptation_report(
    run: RunDirectory,
    config: AdaptConfig,
    result: AdaptResult,
    model: ExpressionModel,
    progress: Progress,
    images: FaceTensors,
    facts: Mapping[str, Any],
    *,
    before: Path,
) -> None:
    """Write `report.html`: what changed, how far to trust it, and figures where there are labels.

    Args:
        run: Where to write it.
        config: The run's configuration.
        result: The comparison.
        model: The adapted model.
        progress: The run's log.
        images: The target's images of the report.
        facts: Provenance: versions, seed, command.
        before: Where the first model came from.
    """
    split, found = images.split, result.facts
    tables = change_tables(result.changes)
    if result.before is not None and result.after is not None:
        tables = (_metrics_table(result), *tables)
    reasons = " ".join(result.trust.reasons)
    chosen = f"Kept: {found['selection']}. No label of the target took part in training or choice."
    write_report(
        run.report,
        RunReport(
            title=f"{before.name} adapted to {split.dataset} {split.split}",
            data=f"{len(images.usable)} images of {split.dataset} {split.split}; method "
            f"{config.adapt.method}, adapted to {found['target']['adapted_to']} images. {chosen}",
            metrics=None if result.after is None else result.after.report,
            labels=found["labels"],
            faces=changed_faces(*result.answers, images),
            failed=tuple(images.failed.items()),
            records=progress.records,
            text=PromptMap.from_bank(model.bank) if model.bank is not None else None,
            config=config.model_dump(mode="json"),
            provenance=facts,
            command=facts.get("command"),
            warnings=(f"{result.trust.sentence()} {reasons}".strip(),),
            tables=tables,
        ),
    )


def _metrics_table(result: AdaptResult) -> ReportTable:
    assert result.before is not None
    assert result.after is not None
    reports = (result.before.report, result.after.report)
    names = (("accuracy", "accuracy"), ("uar", "mean class recall (UAR)"), ("macro_f1", "macro-F1"))
    rows = [(title, *(_percent(getattr(r, key)) for r in reports)) for key, title in names]
    rows.append(("calibration error", *(_percent(r.ece) for r in reports)))
    return ReportTable(
        "Against the target's labels",
        ("", "before", "after"),
        rows,
        "The labels were read after the adapted model had been saved. Classes that only one side "
        "has are left out.",
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
