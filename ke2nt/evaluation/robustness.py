"""A model's metrics under image corruptions, by kind and severity.

Means weigh kinds and severities equally. They are means of rates, not of errors relative to a
reference model as in ImageNet-C's mCE: a mean rate can be interpreted without a reference model.
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

__all__ = [
    "LEVELS",
    "METRICS",
    "Robustness",
    "decode_to_memory",
    "evaluate_robustness",
]

LEVELS = (1, 2, 3, 4, 5)
METRICS = ("accuracy", "uar", "macro_f1", "ece")


@dataclass
class Robustness:
    """Metrics of a model on a split, without and with corruptions.

    Attributes:
        clean: Evaluation without corruption.
        kinds: Kinds of corruption.
        severities: Severities of each kind.
        cells: (kind, severity) → evaluation, for the pairs that are finished.
    """

    clean: Evaluation
    kinds: tuple[str, ...]
    severities: tuple[int, ...]
    cells: dict[tuple[str, int], Evaluation] = field(default_factory=dict)

    def value(self, metric: str, kind: str, severity: int) -> float:
        """Return one metric of one cell."""
        return float(getattr(self.cells[kind, severity].report, metric))

    def mean(self, metric: str, *, kind: str | None = None, severity: int | None = None) -> float:
        """Average a metric over the cells of a kind, of a severity, or over all cells."""
        return fmean(
            self.value(metric, *key)
            for key in self.cells
            if kind in (None, key[0]) and severity in (None, key[1])
        )

    def means(self, *, kind: str | None = None, severity: int | None = None) -> dict[str, float]:
        """Return `mean` of each of `METRICS`."""
        return {name: self.mean(name, kind=kind, severity=severity) for name in METRICS}

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        # Only what is finished, as documents are also written in between.
        kinds = dict.fromkeys(kind for kind, _ in self.cells)
        severities = sorted({severity for _, severity in self.cells})

        return {
            "clean": self.clean.to_dict(),
            "cells": [
                {"kind": kind, "severity": s, **self.means(kind=kind, severity=s)}
                for kind, s in self.cells
            ],
            "by_kind": {kind: self.means(kind=kind) for kind in kinds},
            "by_severity": {str(s): self.means(severity=s) for s in severities},
            "mean": self.means() if self.cells else None,
        }


def evaluate_robustness(
    model: ExpressionModel,
    split: FaceSplit,
    *,
    kinds: Sequence[str] = KINDS,
    severities: Sequence[int] = LEVELS,
    seed: int = 0,
    on_cell: Callable[[Robustness], None] = lambda _: None,
    quiet: bool = True,
    **fields: Any,
) -> Robustness:
    """Evaluate a model on a split without corruption and under every corruption.

    Args:
        model: The model.
        split: The images; small sets are decoded once, large ones are read for each corruption.
        kinds: Kinds of corruption, of `ke2nt.data.corruption.KINDS`.
        severities: 1 to 5.
        seed: Seed of the corruptions.
        on_cell: Called after every evaluation with the result so far.
        quiet: Show no progress on stderr.
        **fields: Fields of `EvaluationOptions`.

    Raises:
        LabelError: The label sets do not fit under the policy.
        DataError: A kind or severity is unknown, or no image can be read.
    """
    images = decode_to_memory(split, quiet=quiet)

    # Unknown kinds and severities are found before the first evaluation.
    corrupted = {(k, s): corrupt(images, k, s, seed=seed) for k in kinds for s in severities}

    clean = evaluate_model(model, images, quiet=quiet, **fields)
    result = Robustness(clean, tuple(kinds), tuple(severities))
    on_cell(result)
    for key, corrupted_split in corrupted.items():
        result.cells[key] = evaluate_model(model, corrupted_split, quiet=quiet, **fields)
        on_cell(result)
    return result


def decode_to_memory(split: FaceSplit, *, limit: int = RAM_LIMIT, quiet: bool = True) -> FaceSplit:
    """Decode a split into memory at its original size if it fits; otherwise return it unchanged.

    Unreadable images stay as they are, and are reported by whoever reads them next.

    Args:
        split: The images.
        limit: Maximum bytes to hold, if no side is longer than corruptions leave it.
        quiet: Show no progress on stderr.
    """
    # Upper bound: three bytes per pixel of square images with the longest side.
    if 3 * len(split) * LONGEST_SIDE**2 > limit:
        return split
    label = f"reading {split.dataset} {split.split}"
    samples = map(_decode_sample, track(split.samples, label, quiet=quiet))
    return replace(split, samples=tuple(samples))


def _decode_sample(sample: FaceSample) -> FaceSample:
    """Replace a sample's source by its pixels, unless it is unreadable or large."""
    try:
        pixels = decode(sample.source)
    except ImageReadError:
        return sample
    small = max(pixels.shape[:2]) <= LONGEST_SIDE
    return replace(sample, source=pixels) if small else sample
