"""The contents of a report page; every part but the title may be left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ke2nt.evaluation.coverage import CoverageRisk
from ke2nt.evaluation.groups import GroupReport
from ke2nt.evaluation.metrics import ClassificationReport
from ke2nt.pages.faces import FaceGroup

if TYPE_CHECKING:
    from ke2nt.banks.text_bank import TextBank

__all__ = ["PromptMap", "ReportTable", "RunReport", "training_curves"]

Curves = dict[str, list[tuple[float, float]]]
_SCORE_LABELS = {"accuracy": "accuracy", "uar": "UAR", "macro_f1": "macro-F1"}


@dataclass(frozen=True)
class PromptMap:
    """The text side of a model.

    Attributes:
        classes: K class names.
        embeddings: (K, D) text embedding of each class.
        anchor: (D,) text embedding of the neutral anchor, or None.
        prompts: Class → the prompts that were embedded.
        anchor_prompts: Prompts of the neutral anchor.
        encoder: Name of the text encoder.
    """

    classes: Sequence[str]
    embeddings: np.ndarray
    anchor: np.ndarray | None = None
    prompts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    anchor_prompts: Sequence[str] = ()
    encoder: str | None = None

    @classmethod
    def from_bank(cls, bank: TextBank) -> Self:
        """Build from a model's bank; an anchor that equals one of the classes is left out."""
        # Unit vectors: equal ones have a cosine of 1.
        anchor_is_class = (bank.embeddings @ bank.neutral > 1 - 1e-5).any()
        return cls(
            classes=bank.classes,
            embeddings=bank.embeddings.cpu().numpy(),
            anchor=None if anchor_is_class else bank.neutral.cpu().numpy(),
            prompts=bank.provenance.get("prompts", {}),
            anchor_prompts=bank.provenance.get("anchor", ()),
            encoder=bank.provenance.get("encoder"),
        )


@dataclass(frozen=True)
class ReportTable:
    """A table of texts; the first column names the rows, the others align right.

    Attributes:
        title: Headline above the table.
        columns: Names of the columns.
        rows: Cells of each row.
        explained: Explanation below the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    explained: str | None = None


@dataclass(frozen=True)
class RunReport:
    """Everything that one page shows.

    Attributes:
        title: Headline, such as the run's name.
        data: Which images and labels, including the label rule.
        metrics: The metrics on those images.
        uncalibrated: Metrics without the model's calibration, if it has one.
        coverage: Risk against coverage on those images.
        min_confidence: Threshold below which the model's answers are withheld.
        labels: How the label sets were mapped, such as `LabelMapping.describe()`.
        groups: Metrics of groups of people, one report per attribute.
        faces: Groups of faces with predictions.
        failed: (name, reason) of images that could not be read.
        records: Log records of the training, one per epoch; see `training_curves`.
        text: Prompts and text embeddings.
        config: The resolved configuration, a JSON value.
        provenance: Versions, revision, seed, machine: a JSON value.
        command: The command line.
        warnings: Shown at the top, such as that the best epoch was chosen on the test split.
        tables: Further tables, after the metrics.
        notes: Shown at the end.
    """

    title: str
    data: str | None = None
    metrics: ClassificationReport | None = None
    uncalibrated: ClassificationReport | None = None
    coverage: CoverageRisk | None = None
    min_confidence: float | None = None
    labels: str | None = None
    groups: Sequence[GroupReport] = ()
    faces: Sequence[FaceGroup] = ()
    failed: Sequence[tuple[str, str]] = ()
    records: Sequence[Mapping[str, Any]] = ()
    text: PromptMap | None = None
    config: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] | None = None
    command: str | None = None
    warnings: Sequence[str] = ()
    tables: Sequence[ReportTable] = ()
    notes: Sequence[str] = ()


def training_curves(records: Sequence[Mapping[str, Any]]) -> tuple[Curves, Curves]:
    """Collect loss parts and validation scores as (epoch, value) points.

    Args:
        records: Each with "epoch" and any of "loss" ("total" and its parts → number) and "val"
            (metric → number), as in a run's `log.jsonl`.

    Returns:
        Loss part → points, and score → points (accuracy, UAR, macro-F1; in [0, 1]).
    """
    # An epoch may lack any of the parts.
    losses: Curves = {}
    scores: Curves = {}
    for record in records:
        for name, value in record.get("loss", {}).items():
            losses.setdefault(name.replace("_", " "), []).append((record["epoch"], value))

        for name, label in _SCORE_LABELS.items():
            if name in record.get("val", {}):
                scores.setdefault(label, []).append((record["epoch"], record["val"][name]))
    return losses, scores
