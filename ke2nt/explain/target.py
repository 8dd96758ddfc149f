"""What is explained: one of the model's classes, or any phrase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ModelError
from ke2nt.models.base import ExpressionModel
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.output import KE2NTOutput
from ke2nt.runtime.l2_normalize import l2_normalize

__all__ = ["Target", "log_odds"]


@dataclass(frozen=True, eq=False)
class Target:
    """A score that a face gets from a model's output; higher if it shows more of the target.

    Attributes:
        name: The class or the phrase.
        index: Index of the class; None for a phrase.
        direction: (D,) t − mean_k t_k for a phrase with text embedding t and classes with t_k, all
            of unit norm; None for a class.
        scale: Factor of a phrase's score: the logit scale of the model.
    """

    name: str
    index: int | None = None
    direction: Tensor | None = None
    scale: float = 1.0

    @classmethod
    def from_class(cls, model: ExpressionModel, name: str) -> Self:
        """Target one of the model's classes.

        Raises:
            ModelError: The model has no such class.
        """
        if name not in model.classes:
            raise ModelError(
                f"the model has no class {name!r}", expected=f"one of {', '.join(model.classes)}"
            )
        return cls(name, index=model.classes.index(name))

    @classmethod
    def from_phrase(cls, model: ExpressionModel, name: str, bank: TextBank) -> Self:
        """Target a phrase.

        Args:
            model: A model with a text head.
            name: The phrase.
            bank: Text embedding of the phrase: a bank of one class, from the model's text encoder.

        Raises:
            ModelError: The model has a linear head, or the bank has another dimension.
        """
        if not isinstance(model, KE2NT):
            raise ModelError(
                f"the model has no class {name!r} and, without a text head, accepts no phrases",
                expected=f"one of {', '.join(model.classes)}, or a model with a text head",
            )
        if bank.dim != model.dim:
            raise ModelError(
                "the phrase was embedded by another text encoder",
                expected=f"dimension {model.dim}",
                found=f"dimension {bank.dim}",
            )

        direction = bank.embeddings[0].cpu() - model.text_embeddings.cpu().mean(dim=0)
        return cls(name, direction=direction, scale=float(torch.as_tensor(model.logit_scale)))

    def score(self, output: KE2NTOutput) -> Tensor:
        """Score B faces.

        For a class: its log-odds, log p / (1 − p). For a phrase: s (cos(f_e, t) − mean_k cos(f_e,
        t_k)), how much better the face matches the phrase than the average class. (Relative to the
        neutral anchor alone, all phrases get nearly the same map: it mostly shows "not neutral".)

        Args:
            output: The model's output for B images.

        Returns:
            (B,), differentiable.
        """
        if self.direction is None:
            assert self.index is not None
            return log_odds(output.logits, self.index)

        embeddings = l2_normalize(output.embeddings.float())
        return self.scale * (embeddings @ self.direction.to(embeddings))


def log_odds(logits: Tensor, target: int) -> Tensor:
    """log p / (1 − p) of one class, which does not saturate when p is close to 1.

    Args:
        logits: (N, K).
        target: Class index.

    Returns:
        (N,); the logits themselves if there is no other class.
    """
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
    return logits[:, target] - (others.logsumexp(dim=1) if others.shape[1] else 0)
