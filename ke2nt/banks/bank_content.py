"""What a text bank holds, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ke2nt.errors import LabelError, TextEncoderError

__all__ = ["BankContent"]

_UNIT_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class BankContent:
    """Text embeddings of K classes and of the neutral anchor.

    Attributes:
        embeddings: (K, D) class embeddings of unit norm.
        raw: (K, D) class embeddings as the tower gives them (mean over a class's prompts).
        neutral: (D,) embedding of the neutral anchor, unit norm.
        neutral_raw: (D,) embedding of the neutral anchor as the tower gives it.
        classes: K unique names, in index order.
        neutral_index: Index of the neutral class, or None where no class is neutral.
        logit_scale: Positive factor on cosine similarities.
        provenance: Where it all comes from, plain JSON.

    Raises:
        LabelError: Class names are empty, repeated, or do not fit the rows.
        TextEncoderError: Shapes, types, norms or the scale are wrong, or a number is not finite.
    """

    embeddings: Tensor
    raw: Tensor
    neutral: Tensor
    neutral_raw: Tensor
    classes: tuple[str, ...]
    neutral_index: int | None
    logit_scale: float
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        _check_classes(self.classes, self.neutral_index)
        _check_tensors(self)
        if not (math.isfinite(self.logit_scale) and self.logit_scale > 0):
            raise TextEncoderError(
                "wrong logit scale", expected="a finite number above 0", found=self.logit_scale
            )


def _check_classes(classes: tuple[str, ...], neutral_index: int | None) -> None:
    if not classes or not all(isinstance(name, str) and name.strip() for name in classes):
        raise LabelError("a text bank needs class names", found=list(classes))
    if len(set(classes)) != len(classes):
        twice = sorted({name for name in classes if classes.count(name) > 1})
        raise LabelError("class names are repeated", found=", ".join(twice))
    if neutral_index is not None and neutral_index not in range(len(classes)):
        raise LabelError(
            "the neutral index names no class",
            expected=f"0 to {len(classes) - 1}, or None",
            found=neutral_index,
        )


def _check_tensors(bank: BankContent) -> None:
    count = len(bank.classes)
    if bank.raw.ndim != 2 or bank.raw.shape[0] != count or bank.raw.shape[1] == 0:
        raise LabelError(
            "rows and class names do not match",
            expected=f"({count}, D) for the classes {', '.join(bank.classes)}",
            found=tuple(bank.raw.shape),
        )
    width = bank.raw.shape[1]
    shapes = {
        "embeddings": (count, width),
        "raw": (count, width),
        "neutral": (width,),
        "neutral_raw": (width,),
    }
    for name, shape in shapes.items():
        tensor: Tensor = getattr(bank, name)
        if tuple(tensor.shape) != shape:
            raise TextEncoderError(
                f"{name} has the wrong shape", expected=shape, found=tuple(tensor.shape)
            )
        if tensor.dtype not in (torch.float32, torch.float64):
            raise TextEncoderError(
                f"{name} has the wrong type", expected="float32 or float64", found=tensor.dtype
            )
        norms = tensor.norm(dim=-1)
        if not bool(torch.isfinite(norms).all()) or not bool((norms > 0).all()):
            raise TextEncoderError(f"{name} has a row that is zero or not finite")
        if not name.endswith("raw") and bool(((norms - 1).abs() > _UNIT_TOLERANCE).any()):
            raise TextEncoderError(f"{name} must have unit norm", found=norms.tolist())
