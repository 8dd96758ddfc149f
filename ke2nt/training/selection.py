"""Which epoch's model is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ke2nt.config.schema import SelectConfig
from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import ModelError, TrainingError
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.models.base import ExpressionModel
from ke2nt.training.compute import Compute
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
    """

    config: SelectConfig
    epochs: int
    where: Path

    def report(
        self, progress: Progress, evaluate: Callable[[], tuple[float, Mapping[str, Any]]]
    ) -> EpochReport:
        """Evaluate where due, and say whether the epoch is the one to keep.

        Args:
            progress: After the last step of the epoch.
            evaluate: Returns the score, higher is better, and entries of the log record.

        Raises:
            TrainingError: Training has diverged: the model gives values that are not finite.
        """
        epoch = progress.epoch + 1
        last = epoch == self.epochs
        if not last and epoch % self.config.every:
            return EpochReport()

        # values that are not finite come from weights that have diverged
        try:
            score, record = evaluate()
        except ModelError as error:
            raise TrainingError(
                "training has diverged",
                where=f"{self.where}, epoch {epoch}",
                found=error.message,
                hint="Start a new run with a lower optim.lr, or with optim.clip=1.",
            ) from error

        # of equal scores, the first epoch is kept
        better = progress.best is None or score > progress.best
        kept = better if self.config.rule == "best" else last
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
        batch_size=256,
        precision=compute.precision,
        flip_tta=config.flip_tta,
        bootstrap=0,
    ).report
    values = {name: float(getattr(report, name)) for name in _METRICS}
    record = {"val": values, "val_split": images.split.split}
    return float(getattr(report, config.metric)), record
