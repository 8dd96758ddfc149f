"""What a few-shot method is: a function from a task to a fitted classifier of embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ke2nt.banks.text_bank import TextBank
from ke2nt.fewshot.features import Features
from ke2nt.fewshot.names import Shots
from ke2nt.models.adapters import Adapter
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.l2_normalize import l2_normalize

__all__ = ["FewShotTask", "Fitted", "Method"]


@dataclass(frozen=True, eq=False)
class FewShotTask:
    """What a method learns from.

    Attributes:
        train: Images to learn from.
        validation: Images to choose hyperparameters on.
        bank: Text embeddings of the classes.
        logit_scale: s, the encoder's factor on cosines.
        shots: Images of each class, or "all".
        seed: Seed of the method's random numbers.
        text_encoder: Name of the text encoder of the bank, for methods that learn words.
        prompts: The prompt set of the bank.
        cache_dir: Cache folder of text embeddings.
    """

    train: Features
    validation: Features
    bank: TextBank
    logit_scale: float
    shots: Shots
    seed: int
    text_encoder: str | None = None
    prompts: PromptSet | None = None
    cache_dir: str | Path | None = None


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted method.

    Attributes:
        adapter: What it does with embeddings; None if it compares them with the bank.
        bank: Text embeddings; a method may have learned its own.
        chosen: Hyperparameters that were chosen on validation images, plain JSON.
    """

    adapter: Adapter | None
    bank: TextBank
    chosen: Mapping[str, Any] = field(default_factory=dict)

    @torch.inference_mode()
    def logits(self, embeddings: Tensor, scale: float) -> Tensor:
        """Logits (N, K) of unit embeddings (N, D)."""
        if self.adapter is None:
            return scale * (l2_normalize(embeddings) @ self.bank.embeddings.T)
        logits: Tensor = self.adapter.eval()(embeddings, self.bank.embeddings, scale).logits
        return logits


class Method(Protocol):
    """Fits a classifier; the result depends on the task alone."""

    def __call__(self, task: FewShotTask) -> Fitted:
        """Fit on the training images, choose hyperparameters on the validation images."""
        ...
