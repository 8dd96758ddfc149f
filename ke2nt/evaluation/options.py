"""Options that evaluations share: how to compute, and how to score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ke2nt.labels import LabelPolicy
from ke2nt.runtime.devices import Precision

__all__ = ["ScoringOptions"]


@dataclass(frozen=True)
class ScoringOptions:
    """How to compute predictions of a split and score them.

    Attributes:
        policy: How to treat classes that only one side has; see `ke2nt.labels.map_labels`.
        merge: Class of the data → class of the model or prompt set to map it to.
        batch_size: Images per forward pass.
        device: Device to compute on. None: where the model is, or the GPU if there is one.
        precision: "fp32", "bf16" (autocast), or "auto": bf16 where the device computes in it
            natively, fp32 elsewhere.
        bootstrap: Resamples for the intervals; 0 for none.
        seed: Seed of the resamples.
        quiet: Show no progress on stderr.
    """

    policy: LabelPolicy = "strict"
    merge: Mapping[str, str] | None = None
    batch_size: int = 128
    device: torch.device | str | None = None
    precision: Precision = "fp32"
    bootstrap: int = 1000
    seed: int = 0
    quiet: bool = True

    def computing(self) -> dict[str, Any]:
        """Return the keyword arguments of functions that run a model."""
        return {
            "batch_size": self.batch_size,
            "device": self.device,
            "precision": self.precision,
            "quiet": self.quiet,
        }

    def scoring(self) -> dict[str, Any]:
        """Return the keyword arguments of functions that score predictions."""
        return {
            "policy": self.policy,
            "merge": self.merge,
            "bootstrap": self.bootstrap,
            "seed": self.seed,
        }
