"""The code critic's game: codes lie like the uniform prior, and do not tell the expression."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

__all__ = ["code_critic_loss", "encoder_loss", "untold_loss"]


def code_critic_loss(prior: Tensor, encoded: Tensor) -> Tensor:
    """Binary cross-entropy of both halves: prior → 1, encoded → 0, averaged.

    Args:
        prior: (B,) logits of codes from the prior.
        encoded: (B,) logits of the encoder's codes.
    """
    return 0.5 * (functional.softplus(-prior).mean() + functional.softplus(encoded).mean())


def encoder_loss(encoded: Tensor) -> Tensor:
    """Cross-entropy of the encoder's codes with "prior": small where the critic is deceived.

    Args:
        encoded: (B,) logits of the encoder's codes.
    """
    return functional.softplus(-encoded).mean()


def untold_loss(expressions: Tensor) -> Tensor:
    """Mean KL divergence of the uniform distribution from what a code tells of the expression.

    0 where the critic cannot tell; the decoder then learns the expression from the label it is
    given (the idea of Fader networks, https://arxiv.org/abs/1706.00409).

    Args:
        expressions: (B, K) logits of the code critic.
    """
    return -functional.log_softmax(expressions, dim=1).mean() - math.log(expressions.shape[1])
