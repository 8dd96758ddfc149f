"""Calibration of a model's logits, stored with the model: temperature or vector scaling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, get_args

import numpy as np

from ke2nt.errors import CheckpointError, ModelError
from ke2nt.runtime.renamed import warn_renamed

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Calibration", "Method"]

Method = Literal["temperature", "vector"]
Logits = TypeVar("Logits", "Tensor", np.ndarray)

_STORED_NAMES = {"metrics": "figures"}  # attribute → key in saved models
_ATTRIBUTES = {key: attribute for attribute, key in _STORED_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Calibration:
    """Maps logits z (…, K) to logits whose softmax is calibrated; fitted after training.

    "temperature": z / T. "vector": w ⊙ z + b, one weight and one bias for each class. Both are from
    Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 4.2. Temperature
    scaling never changes a prediction; vector scaling may.

    A class prior comes after the scaling, since it is Bayes' rule for calibrated posteriors: with
    p(k | x) = softmax(z / T)_k under the shares π, the posterior under the shares q is proportional
    to p(k | x) q_k / π_k, whose logits are z / T + log(q / π). Such offsets may change predictions.

    Attributes:
        method: "temperature" or "vector".
        temperature: T > 0; 1 for vector scaling.
        weight: w, K values, only for vector scaling.
        bias: b, K values, only for vector scaling.
        offsets: log(q / π), K values that are added after the scaling; None for none.
        prior: Class → share q that the offsets stand for; {} without offsets.
        min_confidence: Predictions with a calibrated probability below it should be withheld, in
            [0, 1]; None if no threshold was chosen.
        class_min_confidence: K thresholds, by predicted class, in place of `min_confidence`; None
            for one for all.
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
    offsets: tuple[float, ...] | None = None
    prior: Mapping[str, float] = field(default_factory=dict)
    min_confidence: float | None = None
    class_min_confidence: tuple[float, ...] | None = None
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
        for name in ("offsets", "class_min_confidence"):
            if getattr(self, name) is not None:
                numbers = tuple(float(value) for value in getattr(self, name))
                object.__setattr__(self, name, numbers)

        if not (self._has_valid_scaling() and self._has_valid_threshold()):
            scaling = ("method", "temperature", "weight", "bias", "offsets")
            thresholds = ("min_confidence", "class_min_confidence")
            raise ModelError(
                "the calibration is not valid",
                expected="temperature above 0, or as many finite weights as biases; "
                "finite offsets; min_confidence from 0 to 1",
                found=", ".join(
                    f"{name}={getattr(self, name)}" for name in (*scaling, *thresholds)
                ),
            )

    def _has_valid_scaling(self) -> bool:
        weight, bias, offsets = self.weight or (), self.bias or (), self.offsets or ()
        return (
            self.method in get_args(Method)
            and 0 < self.temperature < math.inf
            and bool(weight) == (self.method == "vector")
            and len(weight) == len(bias)
            and all(map(math.isfinite, (*weight, *bias, *offsets)))
        )

    def _has_valid_threshold(self) -> bool:
        thresholds = [*(self.class_min_confidence or ())]
        thresholds += [] if self.min_confidence is None else [self.min_confidence]
        return all(0 <= threshold <= 1 for threshold in thresholds)

    @property
    def is_fitted(self) -> bool:
        """Whether it scales logits, and does not only hold a prior."""
        return bool(self.fitted_on) or self.method == "vector" or self.temperature != 1

    @property
    def figures(self) -> Mapping[str, Any]:
        """Deprecated name of `metrics`."""
        warn_renamed("attribute", "figures", "metrics")
        return self.metrics

    def apply(self, logits: Logits) -> Logits:
        """Calibrate logits.

        Args:
            logits: (…, K), floating, as the model gives them; a tensor, or an array without torch.

        Returns:
            Same shape, dtype and device.

        Raises:
            ModelError: Vector scaling or offsets belong to another number of classes.
        """
        return self.add_offsets(self._scale(logits))

    def add_offsets(self, logits: Logits) -> Logits:
        """Add the offsets of the prior to logits (…, K) that are scaled already.

        Raises:
            ModelError: The offsets belong to another number of classes.
        """
        if self.offsets is None:
            return logits
        return logits + _row(self.offsets, logits)

    def _scale(self, logits: Logits) -> Logits:
        if self.weight is None or self.bias is None:
            return logits / self.temperature
        return logits * _row(self.weight, logits) + _row(self.bias, logits)

    def thresholds(self, classes: int) -> tuple[float, ...]:
        """Return the confidence below which a prediction of each of K classes is withheld."""
        if self.class_min_confidence is not None:
            return self.class_min_confidence
        return (self.min_confidence or 0.0,) * classes

    def for_other_texts(self) -> Calibration | None:
        """Return what remains of it when the class texts change.

        A temperature stays, flagged as `transferred` and without its threshold; vector scaling and
        a prior mean nothing for other classes.
        """
        if self.method == "vector" or not self.is_fitted:
            return None
        removed: dict[str, Any] = {"min_confidence": None, "class_min_confidence": None}
        removed |= {"threshold": {}, "offsets": None, "prior": {}}
        return replace(self, transferred=True, **removed)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value, without the fields that the method does not use."""
        unused = ["weight", "bias"] if self.method == "temperature" else ["temperature"]
        unused += [] if self.offsets else ["offsets", "prior"]
        unused += [] if self.class_min_confidence else ["class_min_confidence"]
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


def _row(values: tuple[float, ...], logits: Logits) -> Logits:
    """(K,) values, in the dtype and on the device of logits (…, K)."""
    if logits.shape[-1] != len(values):
        raise ModelError(
            "the calibration was fitted for another label set",
            expected=f"{len(values)} classes",
            found=logits.shape[-1],
        )
    # from float64, so that the logits keep their dtype and its precision
    if isinstance(logits, np.ndarray):
        return np.array(values).astype(logits.dtype)
    import torch

    return torch.tensor(values, dtype=torch.float64).to(logits)
