"""The ramp that increases the strength of an adaptation over the training."""

from __future__ import annotations

import math

__all__ = ["compute_ramp"]


def compute_ramp(progress: float, steepness: float = 10.0) -> float:
    """Compute w(p) = 2 / (1 + exp(−a p)) − 1, which rises from 0 towards 1.

    The schedule of DANN (https://arxiv.org/abs/1505.07818); a = 0 gives 1 throughout.

    Args:
        progress: p, completed share of the training, in [0, 1].
        steepness: a.
    """
    # no ramp: full strength from the first step
    if steepness == 0.0:
        return 1.0

    return 2.0 / (1.0 + math.exp(-steepness * progress)) - 1.0
