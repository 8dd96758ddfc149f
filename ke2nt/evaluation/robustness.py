"""How much of a model's accuracy is left under corruptions, kind by kind and severity by severity.

Means are over kinds and severities with equal weights, of rates and not of errors relative to a
reference model: ImageNet-C's mCE needs one, and a mean rate can be read by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from ke2nt.data.corruption import KINDS, LONGEST_SIDE, corrupt
from ke2nt.data.images import decode
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.data.tensors import RAM_LIMIT
from ke2nt.errors import ImageReadError
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.evaluation.score import Evaluation
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.progress import track

__all__ = ["METRICS", "LEVELS", "Robustness", "decode_to_memory", "robustness"]

LEVELS = (1, 2, 3, 4, 5)
METRICS = ("accuracy", "uar", "macro_f1", "ece")


@dataclass
class Robustness:
    """Metrics of a model on a split as it is and under corruptions.

    Attributes:
        clean: The split as it is.
        kinds: Kinds of corruption.
        severities: Their severities.
        cells: (kind, severity) → metrics, as far as they are done.
    """

    clean: Evaluation
    kinds: tuple[str, ...]
    severities: tuple[int, ...]
    cells: dict[tuple[str, int], Evaluation] = field(default_factory=dict)

    def value(self, figure: str, kind: str, severity: int) -> float:
        """One figure of one cell."""
        return float(getattr(self.cells[kind, severity].report, figure))

    def mean(self, figure: str, *, kind: str | None = None, severity: int | None = None) -> float:
        """Mean of a figure over the cells of a kind, of a severity, or over all."""
        return fmean(
            self.value(figure, *key)
            for key in self.cells
            if kind in (None, key[0]) and severity in (None, key[1])
        )

    def means(self, *, kind: str | None = None, severity: int | None = None) -> dict[str, float]:
        """`mean` of each of `METRICS`."""
        return {name: self.mean(name, kind=kind, severity=severity) for name in METRICS}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            "clean": self.clean.to_dict(),
            "cells": [
                {"kind": kind, "severity": s, **self.means(kind=kind, severity=s)}
                for kind, s in self.cells
            ],
            "by_kind": {k: self.means(kind=k) for k in dict.fromkeys(k for k, _ in self.cells)},
            "by_severity": {
                str(s): self.means(severity=s) for s in sorted({s for _, s in self.cells})
            },
            "mean": self.means() if self.cells else None,
        }


def robustness(
    model: ExpressionModel,
    split: FaceSplit,
    *,
    kinds: Sequence[str] = KINDS,
    severities: Sequence[int] = LEVELS,
    seed: int = 0,
    each: Callable[[Robustness], None] = lambda _: None,
    quiet: bool = True,
    **options: Any,
) -> Robustness:
    """Evaluate a model on a split as it is and under every corruption.

    Args:
        model: The model.
        split: The images; small sets are decoded once, of large ones no copy is held.
        kinds: Kinds of corruption, of `ke2nt.data.corruption.KINDS`.
        severities: 1 to 5.
        seed: Seed of the corruptions.
        each: Called after every evaluation, with what is done so far.
        quiet: No progress on stderr.
        **options: Further options of `evaluate_model`.

    Raises:
        LabelError: The label sets do not fit under the policy.
        DataError: A kind or severity is not known, or no image can be read.
    """
    images = decode_to_memory(split, quiet=quiet)
    shifted = {(k, s): corrupt(images, k, s, seed=seed) for k in kinds for s in severities}
    clean = evaluate_model(model, images, quiet=quiet, **options)
    result = Robustness(clean, tuple(kinds), tuple(severities))
    each(result)
    for key, worse in shifted.items():
        result.cells[key] = evaluate_model(model, worse, quiet=quiet, **options)
        each(result)
    return result


def decode_to_memory(split: FaceSplit, *, limit: int = RAM_LIMIT, quiet: bool = True) -> FaceSplit:
    """A split decoded into memory at its own size, if that surely fits; otherwise as it was.

    Images that cannot be read stay what they were, and are named by whoever reads them next.

    Args:
        split: The images.
        limit: Most bytes to hold, if no side is longer than corruptions leave it.
        quiet: No progress on stderr.
    """
    if 3 * len(split) * LONGEST_SIDE**2 > limit:
        return split
    label = f"reading {split.dataset} {split.split}"
    return replace(split, samples=tuple(map(_held, track(split.samples, label, quiet=quiet))))


def _held(sample: FaceSample) -> FaceSample:
    try:
        pixels = decode(sample.source)
    except ImageReadError:
        return sample
    small = max(pixels.shape[:2]) <= LONGEST_SIDE
    return replace(sample, source=pixels) if small else sample
