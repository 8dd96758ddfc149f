"""Choosing the epoch whose model is saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ke2nt.config.schema import SelectConfig
from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import ModelError, TrainingError
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.models.base import ExpressionModel
from ke2nt.training.compute import EVAL_BATCH_SIZE, Compute
from ke2nt.training.progress import Progress
from ke2nt.training.task import EpochReport

__all__ = ["EpochSelection", "evaluate_epoch"]

_METRICS = ("accuracy", "uar", "macro_f1", "nll")


@dataclass(frozen=True)
class EpochSelection:
    """Decides when to evaluate and which epoch to keep.

    Attributes:
        config: Rule, metric and interval.
        epochs: Epochs of the run.
        where: Run directory, for messages.
        section: Section of the optimizer's configuration, for messages.
    """

    config: SelectConfig
    epochs: int
    where: Path
    section: str

    def is_due(self, progress: Progress) -> bool:
        """Whether to evaluate now, after the last step of an epoch."""
        epoch = progress.epoch + 1
        return epoch == self.epochs or epoch % self.config.every == 0

    @contextmanager
    def explain_divergence(self, progress: Progress) -> Iterator[None]:
        """Explain that a model whose outputs are not finite has diverged.

        Raises:
            TrainingError: In place of the evaluation's error.
        """
        try:
            yield
        except ModelError as error:
            raise TrainingError(
                "training has diverged",
                where=f"{self.where}, epoch {progress.epoch + 1}",
                found=error.message,
                hint=f"Start a new run with a lower {self.section}.lr, or with "
                f"{self.section}.clip=1.",
            ) from error

    def report(self, progress: Progress, score: float, record: Mapping[str, Any]) -> EpochReport:
        """Return whether the epoch is the one to keep.

        Args:
            progress: After the last step of the epoch.
            score: Value of the selection metric, higher is better.
            record: Entries of the log record.
        """
        # of equal scores, the first epoch is kept
        better = progress.best is None or score > progress.best
        kept = better if self.config.rule == "best" else progress.epoch + 1 == self.epochs
        return EpochReport({**record, "kept": kept}, kept, score)


def evaluate_epoch(
    model: ExpressionModel, images: FaceTensors, config: SelectConfig, compute: Compute
) -> tuple[float, dict[str, Any]]:
    """Evaluate a model on the split that the epoch is chosen on.

    Returns:
        The value of the selection metric, and entries of the log record.
    """
    report = evaluate_model(
        model,
        images,
        batch_size=EVAL_BATCH_SIZE,
        precision=compute.precision,
        flip_tta=config.flip_tta,
        bootstrap=0,
    ).report
    values = {name: float(getattr(report, name)) for name in _METRICS}
    record = {"val": values, "val_split": images.split.split}
    return float(getattr(report, config.metric)), record
