"""Calibration of a model's logits, stored with the model: temperature or vector scaling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor

from ke2nt.errors import CheckpointError, ModelError
from ke2nt.runtime.renamed import warn_renamed

__all__ = ["Calibration", "Method"]

Method = Literal["temperature", "vector"]

_STORED_NAMES = {"metrics": "figures"}  # attribute → key in saved models
_ATTRIBUTES = {key: attribute for attribute, key in _STORED_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Calibration:
    """Maps logits z (…, K) to logits whose softmax is calibrated; fitted after training.

    "temperature": z / T. "vector": w ⊙ z + b, one weight and one bias for each class. Both are from
    Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 4.2. Temperature
    scaling never changes a prediction; vector scaling may.

    Attributes:
        method: "temperature" or "vector".
        temperature: T > 0; 1 for vector scaling.
        weight: w, K values, only for vector scaling.
        bias: b, K values, only for vector scaling.
        min_confidence: Predictions with a calibrated probability below it should be withheld, in
            [0, 1]; None if no threshold was chosen.
        threshold: What the threshold was chosen for, plain JSON, such as {"target": "risk",
            "value": 0.05, "risk": 0.049, "coverage": 0.81}.
        fitted_on: The data, plain JSON: dataset, split, reader options, n.
        metrics: ECE and log-loss before and after, plain JSON; stored as "figures".
        transferred: Whether the class texts have changed since it was fitted, so that it is only a
            guess for them.

    Raises:
        ModelError: A value is out of range.
    """

    method: Method = "temperature"
    temperature: float = 1.0
    weight: tuple[float, ...] | None = None
    bias: tuple[float, ...] | None = None
    min_confidence: float | None = None
    threshold: Mapping[str, Any] = field(default_factory=dict)
    fitted_on: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    transferred: bool = False

    def __post_init__(self) -> None:
        # stored as lists, and numbers of any kind
        if self.method == "vector":
            for name in ("weight", "bias"):
                values = tuple(float(value) for value in getattr(self, name) or ())
                object.__setattr__(self, name, values)

        if not (self._has_valid_scaling() and self._has_valid_threshold()):
            names = ("method", "temperature", "weight", "bias", "min_confidence")
            raise ModelError(
                "the calibration is not valid",
                expected="temperature above 0, or as many finite weights as biases; "
                "min_confidence from 0 to 1",
                found=", ".join(f"{name}={getattr(self, name)}" for name in names),
            )

    def _has_valid_scaling(self) -> bool:
        weight, bias = self.weight or (), self.bias or ()
        return (
            self.method in get_args(Method)
            and 0 < self.temperature < math.inf
            and bool(weight) == (self.method == "vector")
            and len(weight) == len(bias)
            and all(map(math.isfinite, (*weight, *bias)))
        )

    def _has_valid_threshold(self) -> bool:
        return self.min_confidence is None or 0 <= self.min_confidence <= 1

    @property
    def figures(self) -> Mapping[str, Any]:
        """Deprecated name of `metrics`."""
        warn_renamed("attribute", "figures", "metrics")
        return self.metrics

    def apply(self, logits: Tensor) -> Tensor:
        """Calibrate logits.

        Args:
            logits: (…, K), floating, as the model gives them.

        Returns:
            Same shape, dtype and device.

        Raises:
            ModelError: Vector scaling was fitted for another number of classes.
        """
        if self.weight is None or self.bias is None:
            return logits / self.temperature

        if logits.shape[-1] != len(self.weight):
            raise ModelError(
                "the calibration was fitted for another label set",
                expected=f"{len(self.weight)} classes",
                found=logits.shape[-1],
            )
        # from float64, so that the logits keep their dtype and its precision
        weight, bias = (torch.tensor(v, dtype=torch.float64) for v in (self.weight, self.bias))
        return logits * weight.to(logits) + bias.to(logits)

    def for_other_texts(self) -> Calibration | None:
        """Return what remains of it when the class texts change.

        A temperature stays, flagged as `transferred` and without its threshold; vector scaling
        means nothing for other classes.
        """
        if self.method == "vector":
            return None
        return replace(self, transferred=True, min_confidence=None, threshold={})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value, without the fields that the method does not use."""
        unused = ("weight", "bias") if self.method == "temperature" else ("temperature",)
        return {
            _STORED_NAMES.get(name, name): list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if name not in unused
        }

    @classmethod
    def from_dict(cls, value: Any, *, where: object = None) -> Self:
        """Inverse of `to_dict`.

        Raises:
            CheckpointError: The stored value is not a calibration.
        """
        try:
            return cls(**{_ATTRIBUTES.get(key, key): item for key, item in value.items()})
        except (AttributeError, TypeError, ValueError, ModelError) as error:
            raise CheckpointError(
                "the stored calibration is not valid", found=error, where=where
            ) from error
