"""Whether a model has met such images: is it a face at all, and one like those it knows?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor

from ke2nt.errors import CheckpointError, ModelError
from ke2nt.runtime.l2_normalize import l2_normalize

__all__ = ["Familiarity"]

_TENSORS = ("face_weight", "face_bias", "center", "axes")


@dataclass(frozen=True, eq=False)
class Familiarity:
    """Two numbers from a model's embeddings e (B, D), with a limit for each.

    The face score is w · e + b, the log-odds of a face against a background. The distance is the
    length of A (e / ‖e‖ − c) / √R, about 1 for a face like those of the fit: a Mahalanobis distance
    along the R main axes of their embeddings (Lee et al., "A Simple Unified Framework for Detecting
    Out-of-Distribution Samples", NeurIPS 2018, with one center for all classes).

    Attributes:
        face_weight: w (D,).
        face_bias: b, a scalar tensor.
        center: c (D,).
        axes: A (D, R), each column an axis over the standard deviation along it.
        min_face: An image with a lower face score is not a face.
        max_distance: A face with a higher distance is unlike those that the model knows.
        fitted_on: The data, plain JSON.
        metrics: Rates at the limits, plain JSON.

    Raises:
        ModelError: The tensors do not fit together, or a number is not finite.
    """

    face_weight: Tensor
    face_bias: Tensor
    center: Tensor
    axes: Tensor
    min_face: float
    max_distance: float
    fitted_on: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        width = self.axes.shape[:1]
        fits = self.axes.ndim == 2 and self.face_weight.shape == self.center.shape == width
        tensors = [getattr(self, name) for name in _TENSORS]
        limits = (self.min_face, self.max_distance)
        finite = all(map(math.isfinite, limits)) and all(bool(t.isfinite().all()) for t in tensors)
        if not (fits and finite and self.face_bias.ndim == 0):
            raise ModelError(
                "the familiarity is not valid",
                expected="finite tensors (D,), (), (D,), (D, R) and two finite limits",
                found=", ".join(str(tuple(tensor.shape)) for tensor in tensors),
            )

    def measure(self, embeddings: Tensor) -> Tensor:
        """Compute the face score and the distance of images.

        Args:
            embeddings: (B, D) of the model.

        Returns:
            (B, 2), on the same device.

        Raises:
            ModelError: The embeddings have another width.
        """
        if embeddings.shape[-1] != len(self.center):
            raise ModelError(
                "the familiarity was fitted to other embeddings",
                expected=f"width {len(self.center)}",
                found=embeddings.shape[-1],
            )
        # (B, D) and tensors of the same dtype and device
        e = embeddings.float()
        weight, bias, center, axes = (getattr(self, name).to(e) for name in _TENSORS)
        score = e @ weight + bias
        along = (l2_normalize(e) - center) @ axes
        distance = along.square().mean(dim=-1).sqrt()
        return torch.stack([score, distance], dim=-1)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that `familiarity.safetensors` holds."""
        return {name: getattr(self, name) for name in _TENSORS}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value of everything but the tensors."""
        return {
            "min_face": self.min_face,
            "max_distance": self.max_distance,
            "fitted_on": dict(self.fitted_on),
            "metrics": dict(self.metrics),
        }

    @classmethod
    def from_saved(
        cls, value: Mapping[str, Any], tensors: Mapping[str, Tensor], *, where: object = None
    ) -> Self:
        """Inverse of `to_dict` and `tensors`.

        Raises:
            CheckpointError: The stored values are not a familiarity.
        """
        parts: Mapping[str, Any] = tensors
        try:
            return cls(**parts, **value)
        except (AttributeError, TypeError, ValueError, ModelError) as error:
            raise CheckpointError(
                "the stored familiarity is not valid", found=error, where=where
            ) from error
