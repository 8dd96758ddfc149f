"""The weighted average of the tensors of several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

__all__ = ["average_states"]


def average_states(
    states: Sequence[Mapping[str, Tensor]], shares: Sequence[float]
) -> dict[str, Tensor]:
    """Compute Σ_i w_i θ_i of every floating tensor.

    Args:
        states: State dicts of the same names and shapes.
        shares: w_i ≥ 0 with sum 1. A state whose share is 1 is returned as it is.

    Returns:
        New tensors in the dtype of the first state. Counters are those of the largest share.
    """
    used = [(state, share) for state, share in zip(states, shares, strict=True) if share]
    largest = max(used, key=lambda pair: pair[1])[0]

    averaged = {}
    for name, value in states[0].items():
        if len(used) == 1 or not value.is_floating_point():
            averaged[name] = largest[name].clone()
            continue
        # in double precision, so that the order of the models does not matter
        total = torch.zeros(value.shape, dtype=torch.float64)
        for state, share in used:
            total += share * state[name].double()
        averaged[name] = total.to(value.dtype)
    return averaged
