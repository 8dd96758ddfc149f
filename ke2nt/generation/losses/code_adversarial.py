"""Losses of the code critic: codes follow the uniform prior and do not reveal the expression."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

__all__ = ["code_critic_loss", "confusion_loss", "encoder_loss"]


def code_critic_loss(prior: Tensor, encoded: Tensor) -> Tensor:
    """Mean binary cross-entropy of both kinds of codes: prior → 1, encoded → 0.

    Args:
        prior: (B,) logits of codes from the prior.
        encoded: (B,) logits of the encoder's codes.
    """
    return 0.5 * (functional.softplus(-prior).mean() + functional.softplus(encoded).mean())


def encoder_loss(encoded: Tensor) -> Tensor:
    """Cross-entropy of the encoder's codes with the label "prior"; small if the critic is fooled.

    Args:
        encoded: (B,) logits of the encoder's codes.
    """
    return functional.softplus(-encoded).mean()


def confusion_loss(expressions: Tensor) -> Tensor:
    """Mean KL divergence of the uniform distribution from the expression predicted from a code.

    It is 0 where the critic cannot tell the expression, so the decoder has to take it from the
    requested label (the idea of Fader networks, https://arxiv.org/abs/1706.00409).

    Args:
        expressions: (B, K) logits of the code critic.
    """
    # KL(uniform ‖ p) = −mean log p − log K
    return -functional.log_softmax(expressions, dim=1).mean() - math.log(expressions.shape[1])
