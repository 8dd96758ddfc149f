"""What happens when a loss is NaN or infinite: the run stops, or the step is skipped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ke2nt.data.tensors import Batch
from ke2nt.errors import TrainingError
from ke2nt.runtime.atomic import write_bytes, write_json
from ke2nt.runtime.distributed import is_main
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.sampling import EpochBatches
from ke2nt.training.task import Position, Task
from ke2nt.training.training_data import TrainingData

__all__ = ["LossGuard"]

_MAX_SKIPPED = 20  # steps in a row


class LossGuard:
    """Checks losses as the `not_finite` policy of the configuration says.

    "skip" checks each step before the optimizer. So does "stop" on a CPU. Elsewhere each check
    waits for the device, so "stop" watches the sums of the losses there, which stay on the device,
    and checks many steps at once.

    Args:
        task: Has the policy, and knows what a step saw.
        run: Where the batch of a failed step is saved.
        data: Names and labels of the batch.
        batches: Reads the batch of an earlier step again.
    """

    def __init__(
        self, task: Task, run: RunDirectory, data: TrainingData, batches: EpochBatches
    ) -> None:
        self._task, self._run, self._data, self._batches = task, run, data, batches
        self._watched: list[tuple[Position, Tensor]] = []

    @property
    def deferred(self) -> bool:
        """Whether losses are watched and checked later."""
        return self._task.optim.not_finite == "stop" and self._task.compute.device.type != "cpu"

    def accepts(self, loss: Tensor, batch: Batch, position: Position, progress: Progress) -> bool:
        """Return False if the step has to be skipped; always True where checks are deferred.

        Args:
            loss: Loss of the step, detached.
            batch: Images of the step.
            position: Where the step stands.
            progress: Counts skipped steps.

        Raises:
            TrainingError: The loss is NaN or infinite, and the run has to stop.
        """
        if self.deferred or torch.isfinite(loss):
            return True
        progress.skipped += 1
        progress.skipped_in_a_row += 1

        # a run that skips every step would train nothing
        if self._task.optim.not_finite == "skip" and progress.skipped_in_a_row < _MAX_SKIPPED:
            return False
        raise self._not_finite(batch, position, float(loss))

    def watch(self, position: Position, sums: Iterable[Tensor]) -> None:
        """Remember the sums of the losses, scalars, as they are after a step."""
        if self.deferred:
            self._watched += [(position, value) for value in sums]

    def check_watched(self, order: Tensor) -> None:
        """Check all watched steps, and forget them.

        Args:
            order: Positions (steps, share) of this process's images in the current epoch.

        Raises:
            TrainingError: A loss was NaN or infinite; the batch of the first such step is saved.
        """
        watched, self._watched = self._watched, []
        if not watched:
            return

        # one copy from the device; a sum stays NaN or infinite once it is
        values = torch.stack([value for _, value in watched]).tolist()
        for (position, _), value in zip(watched, values, strict=True):
            if not math.isfinite(value):
                (batch,) = self._batches.read(order[position.step : position.step + 1])
                raise self._not_finite(batch, position, value)

    def _not_finite(self, batch: Batch, position: Position, loss: float) -> TrainingError:
        """Save the batch of a failed step, and return the error to raise."""
        samples = self._data.train.split.samples
        facts = {
            "epoch": position.epoch + 1,
            "step": position.step + 1,
            "loss": str(loss),
            "classes": list(self._data.classes),
            "names": [samples[int(i)].name for i in batch.indices],
        }
        labels = self._data.targets[batch.indices.cpu()]
        pixels = self._task.pixels_seen(batch, position)
        return _save_batch(self._run, facts, pixels, labels, section=self._task.section)


def _save_batch(
    run: RunDirectory, facts: dict[str, Any], pixels: Tensor, labels: Tensor, *, section: str
) -> TrainingError:
    """Save the batch of a failed step, and return the error to raise.

    With several processes the main one saves its share.

    Args:
        run: Gets `not_finite.safetensors`, with pixels and labels, and `not_finite.json`.
        facts: Epoch, step, loss, classes and sample names.
        pixels: (B, 3, S, S) in 0..255, as the step saw them.
        labels: Labels of the batch.
        section: Section of the configuration whose keys the message names.
    """
    saved = "The batch is in not_finite.safetensors; "
    try:
        if is_main():
            tensors = {"pixels": pixels.cpu().contiguous(), "labels": labels.cpu().contiguous()}
            write_bytes(run.path / "not_finite.safetensors", save(tensors))
            write_json(run.path / "not_finite.json", facts)
    except OSError as error:
        # a full disk must not hide the error that matters
        saved = f"The batch cannot be written ({error}); "

    return TrainingError(
        "loss became NaN or infinite",
        found=f"{facts['loss']} in epoch {facts['epoch']}, step {facts['step']}",
        where=run.path,
        hint=f"To continue this run, set precision=fp32, or {section}.not_finite=skip to leave "
        f"such steps out, in its config.yaml, and resume it. In a new run, lower {section}.lr or "
        f"set {section}.clip=1.0. {saved}checkpoints of earlier epochs are kept.",
    )
