"""Text directions that the losses need; the same in every step, so computed once per bank."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ke2nt.banks.text_bank import TextBank
from ke2nt.runtime.l2_normalize import l2_normalize_or_zero

__all__ = ["class_directions", "moves_from_neutral"]

_BANKS = 8  # a training run compares with one or two banks; a prompt search tries a few more


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
