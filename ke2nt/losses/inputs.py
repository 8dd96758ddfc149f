"""Inputs of the losses: checked ones that L_t and L_c of KE2NT share, and text directions."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import threshold

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ModelError
from ke2nt.losses.numerics import at_least_float32
from ke2nt.losses.targets import check_labels, class_distribution, without_neutral
from ke2nt.models.output import KE2NTOutput
from ke2nt.runtime.l2_normalize import l2_normalize_or_zero

__all__ = ["SharedInputs", "class_directions", "compute_shared_inputs", "moves_from_neutral"]

_BANKS = 8  # a training run compares with one or two banks; a prompt search tries a few more


class SharedInputs(NamedTuple):
    """Inputs of L_t and L_c.

    Attributes:
        expression: (B, D) direction of f_e, float32 or float64: unit norm, or 0 where f_e is.
        neutral: (B, D) direction of f_n.
        move: (B, D) direction of f_e − f_n.
        weights: (B, K) share of each sample and class: its probability, the neutral column 0, over
            the sum of all. All 0 in a batch without non-neutral samples.
        bank: Text embeddings.
    """

    expression: Tensor
    neutral: Tensor
    move: Tensor
    weights: Tensor
    bank: TextBank


def compute_shared_inputs(
    output: KE2NTOutput, labels: Tensor, bank: TextBank | None
) -> SharedInputs:
    """Check a model's output against labels and bank, and compute what both losses need.

    Args:
        output: A KE2NT model's output, embeddings and neutral embeddings (B, D).
        labels: (B,) int64 class indices, or (B, K) rows that sum to 1.
        bank: Text embeddings of the K classes.

    Raises:
        ModelError: The model has no neutral embeddings (a linear head), or shapes do not fit.
    """
    if output.neutral_embeddings is None or bank is None:
        raise ModelError(
            "a linear head has no neutral embeddings and no text bank",
            expected="the output of a KE2NT model and its bank",
            hint="Set the weights of the transformation and self-contrast losses to 0.",
        )
    batch, dim = output.embeddings.shape
    classes, text_dim = bank.raw.shape
    if text_dim != dim or output.neutral_embeddings.shape != (batch, dim):
        raise ModelError(
            "image and text embeddings differ in width",
            expected=f"({batch}, {text_dim})",
            found=f"{(batch, dim)} and {tuple(output.neutral_embeddings.shape)}",
        )
    check_labels(labels, batch, classes)

    expression = at_least_float32(output.embeddings)
    neutral = output.neutral_embeddings.to(expression.dtype)
    weights = class_distribution(labels, classes, expression.dtype)
    weights = without_neutral(weights, bank.neutral_index)

    with torch.autocast(expression.device.type, enabled=False):
        # (3, B, D), normalized in one call
        vectors = torch.stack([expression, neutral, expression - neutral])
        expression, neutral, move = l2_normalize_or_zero(vectors).unbind()

        # a sum of 0 becomes 1, so that an all-neutral batch gives zeros instead of NaN; one kernel,
        # where torch.where would also need a comparison
        weights = weights / threshold(weights.sum(), 0.0, 1.0)
    return SharedInputs(expression, neutral, move, weights, bank)


# directions of the text are the same in every step, so they are computed once for each bank


@lru_cache(maxsize=_BANKS)
def class_directions(bank: TextBank, dtype: torch.dtype) -> Tensor:
    """(K, D) unit-norm class embeddings that logits compare with."""
    # a tensor made in inference mode could not take part in a later training step
    with torch.inference_mode(False), torch.autocast(bank.raw.device.type, enabled=False):
        return l2_normalize_or_zero(bank.embeddings.to(dtype))


@lru_cache(maxsize=_BANKS)
def moves_from_neutral(bank: TextBank, dtype: torch.dtype) -> Tensor:
    """(K, D) unit-norm t_k − t_0 of the raw embeddings; a row of zeros where they are equal."""
    with torch.inference_mode(False), torch.autocast(bank.raw.device.type, enabled=False):
        return l2_normalize_or_zero((bank.raw - bank.neutral_raw).to(dtype))
