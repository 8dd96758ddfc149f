"""What can go wrong inside a step: a loss that is not finite, too little memory."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors.torch import save

from ke2nt.errors import TrainingError
from ke2nt.runtime.atomic import write_bytes, write_json
from ke2nt.runtime.distributed import is_main
from ke2nt.training.run_directory import RunDirectory

__all__ = ["LateLook", "not_finite", "out_of_memory_explained"]

_NO_MEMORY = re.compile(r"DefaultCPUAllocator: (can't allocate|not enough) memory")


class LateLook:
    """Finds the first step after which a sum of losses was not finite, for many steps at once.

    Sums stay on the device until they are looked at, so that the steps between need not wait.
    """

    def __init__(self) -> None:
        self._sums: list[tuple[int, torch.Tensor]] = []

    def add(self, step: int, sums: Iterable[torch.Tensor]) -> None:
        """Scalars as they are after a step."""
        self._sums += [(step, value) for value in sums]

    def first_bad(self) -> tuple[int, float] | None:
        """The step and the value, or None; what was added is forgotten."""
        seen, self._sums = self._sums, []
        values = torch.stack([value for _, value in seen]).tolist() if seen else []
        found = ((s, v) for (s, _), v in zip(seen, values, strict=True) if not math.isfinite(v))
        return next(found, None)


def not_finite(
    run: RunDirectory,
    facts: dict[str, Any],
    pixels: torch.Tensor,
    labels: torch.Tensor,
    *,
    section: str,
) -> TrainingError:
    """Keep the batch in the run directory; the error to raise.

    `not_finite.safetensors` holds the pixels, (B, 3, S, S) in 0..255, of a recognizer's training
    as they went in, augmented, and the labels; `not_finite.json` the facts, sample names among
    them. The message names the keys of the configuration's `section` to change. Of several
    processes the main one keeps its share.
    """
    kept = "The batch is in not_finite.safetensors; "
    try:
        if is_main():
            tensors = {"pixels": pixels.cpu().contiguous(), "labels": labels.cpu().contiguous()}
            write_bytes(run.path / "not_finite.safetensors", save(tensors))
            write_json(run.path / "not_finite.json", facts)
    except OSError as error:
        kept = f"The batch cannot be written ({error}); "
    return TrainingError(
        "the loss is not finite any more",
        found=f"{facts['loss']} in epoch {facts['epoch']}, step {facts['step']}",
        where=run.path,
        hint=f"In a new run, lower {section}.lr or set {section}.clip=1.0; precision=fp32 and "
        f"{section}.not_finite=skip, which leaves such steps out, may be set in this run's "
        f"config.yaml, too. {kept}the checkpoints up to the epoch before are kept.",
    )


@contextmanager
def out_of_memory_explained(found: str, hint: str) -> Iterator[None]:
    """Turn an out-of-memory error into one that says what to lower.

    Args:
        found: Keys of the configuration that memory depends on, and their values.
        hint: What to change.
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
