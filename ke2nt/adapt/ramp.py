"""The ramp that increases the strength of an adaptation over the training."""

from __future__ import annotations

import math

__all__ = ["compute_ramp", "compute_reversal"]


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


def compute_reversal(step: int, steps: int) -> float:
    """Compute 2 / (1 + exp(−10 step / N)) − 1, DMSRL's factor of the reversed gradient.

    About 0.0005 in the first step and 0.46 in step 1,000 for N = 10,000, however long the run is.

    Args:
        step: Steps of the run, this one included: 1 for the first.
        steps: N, above 0.
    """
    return compute_ramp(step / steps, 10.0)
