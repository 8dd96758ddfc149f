"""From the features of an image encoder to the text space: the projection of KE2NT."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

from ke2nt.errors import ModelError

__all__ = ["Projection", "build_neck", "build_projection", "check_projection"]

Projection = Literal["auto", "linear", "neck", "none"]

_EPS = 2e-5


def build_projection(kind: Projection, width: int, dim: int, *, always: bool = False) -> nn.Module:
    """Build the layers from features (B, width) to embeddings (B, dim).

    Args:
        kind: "linear" for one layer, or none where the widths are equal; "neck" for that of the
            published KE2NT; "none".
        width: Width of the features.
        dim: Width D of the text space.
        always: A layer also where the widths are equal, because the spaces differ.

    Raises:
        ModelError: There is no projection, and the widths differ.
    """
    if kind == "none" and width != dim:
        raise ModelError(
            "without a projection the image encoder must have the width of the text space",
            expected=f"{dim}, as the text bank",
            found=width,
            hint="Set model.projection=linear, or build the bank with the tower's own text.",
        )
    if kind == "none":
        return nn.Identity()
    if kind == "neck":
        return build_neck(width, dim)
    return nn.Linear(width, dim) if always or width != dim else nn.Identity()


def build_neck(width: int, dim: int) -> nn.Sequential:
    """Linear, BatchNorm, Linear, BatchNorm, without biases: (B, width) → (B, dim).

    As published with KE2NT (https://arxiv.org/abs/2409.08598), where it comes from a
    face-recognition network under the names `feature.0` to `feature.3`.
    """
    return nn.Sequential(
        nn.Linear(width, width, bias=False),
        nn.BatchNorm1d(width, eps=_EPS),
        nn.Linear(width, dim, bias=False),
        nn.BatchNorm1d(dim, eps=_EPS),
    )


def check_projection(kind: object) -> None:
    """Raise ModelError unless a kind of projection is known."""
    if kind not in get_args(Projection):
        raise ModelError(
            "unknown projection", expected=" or ".join(get_args(Projection)), found=repr(kind)
        )
