"""The pairwise similarity of SigLIP: each image and class is a question of its own."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ConfigError

__all__ = ["find_bias", "pairwise_sigmoid"]


def pairwise_sigmoid(logits: Tensor, target: Tensor, bias: Tensor | float) -> Tensor:
    """−(1 / B) Σ_i Σ_k [p_ik log σ(z_ik + b) + (1 − p_ik) log σ(−z_ik − b)].

    Zhai et al., "Sigmoid Loss for Language Image Pre-Training" (ICCV 2023,
    https://arxiv.org/abs/2303.15343), equation 1, with the K class texts in place of the texts of a
    batch, and with soft labels p.

    Args:
        logits: z (B, K), scaled cosines.
        target: p (B, K), in [0, 1].
        bias: b.
    """
    pairs = functional.binary_cross_entropy_with_logits(logits + bias, target, reduction="sum")
    return pairs / len(logits)


def find_bias(bias: float | None, bank: TextBank | None) -> float:
    """Return the configured bias, else the one that the text encoder was trained with.

    Raises:
        ConfigError: Neither is known.
    """
    if bias is not None:
        return bias
    known = None if bank is None else bank.logit_bias
    if known is None:
        raise ConfigError(
            "the sigmoid similarity needs a bias, and the text encoder has none",
            expected="a text encoder of the form of SigLIP, or loss.similarity_bias",
            hint="Set loss.similarity_bias, such as -10.",
        )
    return known
