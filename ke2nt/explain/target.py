"""What is explained: one of the model's classes, or any phrase."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ModelError
from ke2nt.models.base import ExpressionModel
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.output import KE2NTOutput

__all__ = ["Target", "class_target", "log_odds", "phrase_target"]


@dataclass(frozen=True, eq=False)
class Target:
    """A number that a face gets from a model's output, larger where it shows more of something.

    Attributes:
        name: The class or the phrase.
        index: Index of the class; None for a phrase.
        direction: (D,) t − mean_k t_k for a phrase with text embedding t and classes with t_k, all
            of unit norm; None for a class.
        scale: Factor of a phrase's score, that of the model's logits.
    """

    name: str
    index: int | None = None
    direction: Tensor | None = None
    scale: float = 1.0

    def score(self, output: KE2NTOutput) -> Tensor:
        """Scores of B faces.

        For a class its log-odds, log p / (1 − p). For a phrase s (cos(f_e, t) − mean_k cos(f_e,
        t_k)): how much more the face is like the phrase than like the classes on average. (Against
        the neutral anchor alone, all phrases look alike: most of each is that it is not neutral.)

        Args:
            output: The model's output for B images.

        Returns:
            (B,), differentiable.
        """
        if self.direction is None:
            assert self.index is not None
            return log_odds(output.logits, self.index)
        faces = functional.normalize(output.embeddings.float())
        return self.scale * (faces @ self.direction.to(faces))


def class_target(model: ExpressionModel, name: str) -> Target:
    """One of the model's classes.

    Raises:
        ModelError: The model does not know it.
    """
    if name not in model.classes:
        raise ModelError(
            f"the model has no class {name!r}", expected=f"one of {', '.join(model.classes)}"
        )
    return Target(name, index=model.classes.index(name))


def phrase_target(model: ExpressionModel, name: str, bank: TextBank) -> Target:
    """A phrase.

    Args:
        model: A model with a text head.
        name: The phrase.
        bank: Its text embedding, the only class of a bank of the model's text encoder.

    Raises:
        ModelError: The model has a linear head, or the bank is of another width.
    """
    if not isinstance(model, KE2NT):
        raise ModelError(
            f"the model has no class {name!r} and knows no other words",
            expected=f"one of {', '.join(model.classes)}, or a model with a text head",
        )
    if bank.dim != model.dim:
        raise ModelError(
            "the phrase is of another text encoder", expected=model.dim, found=bank.dim
        )
    direction = bank.embeddings[0].cpu() - model.text_embeddings.cpu().mean(dim=0)
    return Target(name, direction=direction, scale=float(torch.as_tensor(model.logit_scale)))


def log_odds(logits: Tensor, target: int) -> Tensor:
    """log p / (1 − p) of one class, which does not saturate where p is near 1.

    Args:
        logits: (N, K).
        target: Class index.

    Returns:
        (N,); the logits themselves where there is no other class.
    """
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
    return logits[:, target] - (others.logsumexp(dim=1) if others.shape[1] else 0)
