"""Clear errors for common training failures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ke2nt.errors import TrainingError

__all__ = ["explain_out_of_memory", "explain_single_image"]

_NO_CPU_MEMORY = re.compile(r"DefaultCPUAllocator: (can't allocate|not enough) memory")


@contextmanager
def explain_out_of_memory(found: str, hint: str) -> Iterator[None]:
    """Turn an out-of-memory error into one that says what to lower.

    Args:
        found: Configuration keys that decide how much memory is needed, and their values.
        hint: What to change.

    Raises:
        TrainingError: In place of the error.
    """
    try:
        yield
    except RuntimeError as error:
        # on a CPU it is a plain RuntimeError
        text = str(error)
        if not (isinstance(error, torch.OutOfMemoryError) or _NO_CPU_MEMORY.search(text)):
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
