"""The objective of a training run, from its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from ke2nt.config.attention import AttentionConfig
from ke2nt.config.extra_loss import ExtraLossConfig
from ke2nt.config.schema import LossConfig
from ke2nt.errors import ConfigError
from ke2nt.losses.deep_supervision import DeepSupervisionLoss
from ke2nt.losses.objective import PARTS, KE2NTLoss
from ke2nt.runtime.extensions import build_object

__all__ = ["build_objective"]


def build_objective(
    loss: LossConfig,
    attention: AttentionConfig | None = None,
    *,
    class_shares: Sequence[float] | None = None,
) -> KE2NTLoss | DeepSupervisionLoss:
    """Build the objective that a configuration describes.

    Args:
        loss: Weights and options of the losses, those of other packages included.
        attention: Attention heads, with the weights of their own losses; None for a model without.
        class_shares: Share of each of the K classes in training; needed only for a logit
            adjustment.

    Raises:
        ConfigError: A loss of another package cannot be imported or built, or there are no class
            shares for a logit adjustment.
    """
    options: dict[str, Any] = {
        "pairing": loss.pairing,
        "label_smoothing": loss.label_smoothing,
        "text_smoothing": loss.text_smoothing,
        "text_temperature": loss.text_temperature,
        "logit_adjustment": loss.logit_adjustment,
        "class_shares": class_shares,
        "similarity_form": loss.similarity_form,
        "similarity_bias": loss.similarity_bias,
    }

    # the objective of the output, with the losses of other packages
    weights = {name: getattr(loss, name) for name in PARTS}
    extra = [_build_extra(path, settings) for path, settings in loss.extra.items()]
    whole = KE2NTLoss(weights, extra=extra, **options)
    if attention is None:
        return whole

    # each stage has its own, which may be classification alone
    stage_loss = whole
    if attention.supervise == "similarity":
        stage_loss = KE2NTLoss({"similarity": loss.similarity}, **options)
    return DeepSupervisionLoss(whole, stage_loss, weights=attention.supervision)


def _build_extra(path: str, settings: ExtraLossConfig) -> tuple[nn.Module, float]:
    """A loss of another package, and its weight."""
    expected = "a class, called with the options under loss.extra"
    loss = build_object(path, kind="loss", options=settings.options(), expected=expected)
    if not isinstance(loss, nn.Module):
        raise ConfigError(
            f"{path!r} is not a loss", expected="an nn.Module", found=type(loss).__name__
        )
    # the optimizer and the checkpoints hold the model alone
    if any(parameter.requires_grad for parameter in loss.parameters()):
        raise ConfigError(
            f"the loss {path!r} has trainable parameters, which training would leave unchanged",
            expected="a loss without parameters",
        )
    return loss, settings.weight
