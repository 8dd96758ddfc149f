"""What guards a run: losses that are not finite, too little memory, batches of one image."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ke2nt.errors import TrainingError
from ke2nt.runtime.atomic import write_bytes, write_json
from ke2nt.runtime.distributed import is_main
from ke2nt.training.run_directory import RunDirectory

__all__ = [
    "PendingLosses",
    "explain_out_of_memory",
    "explain_single_image",
    "save_failed_batch",
]

_NO_MEMORY = re.compile(r"DefaultCPUAllocator: (can't allocate|not enough) memory")


class PendingLosses:
    """Finds the first step after which a sum of losses was not finite, for many steps at once.

    The sums stay on the device until they are checked, so that steps need not wait for it.
    """

    def __init__(self) -> None:
        self._sums: list[tuple[int, Tensor]] = []

    def add(self, step: int, sums: Iterable[Tensor]) -> None:
        """Remember sums of losses, scalars, as they are after a step."""
        self._sums += [(step, value) for value in sums]

    def first_not_finite(self) -> tuple[int, float] | None:
        """Return step and value of the first sum that is NaN or infinite, and forget all sums."""
        pending, self._sums = self._sums, []
        if not pending:
            return None

        # One copy from the device for all of them.
        values = torch.stack([value for _, value in pending]).tolist()
        for (step, _), value in zip(pending, values, strict=True):
            if not math.isfinite(value):
                return step, value
        return None


def save_failed_batch(
    run: RunDirectory, facts: dict[str, Any], pixels: Tensor, labels: Tensor, *, section: str
) -> TrainingError:
    """Save the batch of a step whose loss is not finite, and return the error to raise.

    With several processes the main one saves its share.

    Args:
        run: Gets `not_finite.safetensors`, with pixels and labels, and `not_finite.json`.
        facts: Epoch, step, loss, classes and sample names.
        pixels: (B, 3, S, S) in 0..255, as the step saw them.
        labels: Labels of the batch.
        section: Section of the configuration whose keys the message names.
    """
    # a full disk must not hide the error that matters
    saved = "The batch is in not_finite.safetensors; "
    try:
        if is_main():
            tensors = {"pixels": pixels.cpu().contiguous(), "labels": labels.cpu().contiguous()}
            write_bytes(run.path / "not_finite.safetensors", save(tensors))
            write_json(run.path / "not_finite.json", facts)
    except OSError as error:
        saved = f"The batch cannot be written ({error}); "

    return TrainingError(
        "loss became NaN or infinite",
        found=f"{facts['loss']} in epoch {facts['epoch']}, step {facts['step']}",
        where=run.path,
        hint=f"In a new run, lower {section}.lr or set {section}.clip=1.0. You can also set "
        f"precision=fp32, or {section}.not_finite=skip to leave such steps out, in this run's "
        f"config.yaml and resume it. {saved}checkpoints of earlier epochs are kept.",
    )


@contextmanager
def explain_out_of_memory(found: str, hint: str) -> Iterator[None]:
    """Turn an out-of-memory error into one that says what to lower.

    Args:
        found: Configuration keys that decide the memory, and their values.
        hint: What to change.

    Raises:
        TrainingError: In place of the error.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not (isinstance(error, torch.OutOfMemoryError) or _NO_MEMORY.search(text)):
            raise
        raise TrainingError(
            "not enough memory for training", found=f"{found}: {text.splitlines()[0]}", hint=hint
        ) from error


@contextmanager
def explain_single_image(section: str, share: int) -> Iterator[None]:
    """Turn the error of batch normalization on one image into one that says what to change.

    Args:
        section: Section of the configuration that has `batch_size`.
        share: Images of a step in each process.

    Raises:
        TrainingError: In place of the error.
    """
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise TrainingError(
            "batch normalization needs more than one image",
            expected=f"{section}.batch_size at least 2 in each process",
            found=share,
        ) from error
