"""Checks of the parts of a text bank."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ke2nt.errors import LabelError, TextEncoderError

__all__ = [
    "check_classes",
    "check_logit_scale",
    "check_neutral_index",
    "check_row_count",
    "check_tensors",
]

_UNIT_TOLERANCE = 1e-4


def check_classes(classes: tuple[str, ...]) -> None:
    """Raise LabelError if class names are absent, blank or repeated."""
    if not classes or not all(isinstance(name, str) and name.strip() for name in classes):
        raise LabelError("a text bank needs class names", found=list(classes))
    if len(set(classes)) != len(classes):
        repeated = sorted({name for name in classes if classes.count(name) > 1})
        raise LabelError("class names are repeated", found=", ".join(repeated))


def check_neutral_index(neutral_index: int | None, count: int) -> None:
    """Raise LabelError if an index is not None and not one of `count` classes."""
    if neutral_index is not None and neutral_index not in range(count):
        raise LabelError(
            "neutral_index is out of range",
            expected=f"0 to {count - 1}, or None",
            found=neutral_index,
        )


def check_row_count(raw: Tensor, classes: tuple[str, ...]) -> None:
    """Raise LabelError unless a tensor is (K, D) for K classes."""
    if raw.ndim != 2 or raw.shape[0] != len(classes):
        raise LabelError(
            "rows and class names do not match",
            expected=f"({len(classes)}, D) for the classes {', '.join(classes)}",
            found=tuple(raw.shape),
        )


def check_tensors(tensors: Mapping[str, Tensor], classes: tuple[str, ...]) -> None:
    """Check shapes, types and norms.

    Args:
        tensors: `raw` (K, D) and `neutral_raw` (D,), any norm but 0; `embeddings` (K, D) and
            `neutral` (D,), unit norm.
        classes: K names.

    Raises:
        LabelError: Rows and class names do not match, or the width is 0.
        TextEncoderError: A shape, type or norm is wrong, or a number is not finite.
    """
    raw = tensors["raw"]
    check_row_count(raw, classes)
    count, dim = raw.shape
    if dim == 0:
        raise LabelError("the embeddings have width 0")

    shapes = {
        "embeddings": (count, dim),
        "raw": (count, dim),
        "neutral": (dim,),
        "neutral_raw": (dim,),
    }
    for name, shape in shapes.items():
        _check_tensor(name, tensors[name], shape)


def _check_tensor(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise TextEncoderError(
            f"{name} has the wrong shape", expected=shape, found=tuple(tensor.shape)
        )
    if tensor.dtype not in (torch.float32, torch.float64):
        raise TextEncoderError(
            f"{name} has the wrong type", expected="float32 or float64", found=tensor.dtype
        )

    # (K,), or a scalar for the anchor
    norms = tensor.norm(dim=-1)
    if not bool(torch.isfinite(norms).all()) or not bool((norms > 0).all()):
        raise TextEncoderError(f"{name} has a row that is zero or not finite")
    if not name.endswith("raw") and bool(((norms - 1).abs() > _UNIT_TOLERANCE).any()):
        raise TextEncoderError(f"{name} must have unit norm", found=norms.tolist())


def check_logit_scale(logit_scale: float) -> None:
    """Raise TextEncoderError unless a logit scale is finite and positive."""
    if not (math.isfinite(logit_scale) and logit_scale > 0):
        raise TextEncoderError(
            "wrong logit scale", expected="a finite number above 0", found=logit_scale
        )
