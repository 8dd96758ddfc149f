"""Hyperparameters chosen on validation images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ValidationScore", "choose_best", "score_validation"]

T = TypeVar("T")


class ValidationScore(NamedTuple):
    """How good logits are; the greater tuple is the better one.

    Attributes:
        uar: Mean recall over the classes that have images.
        log_likelihood: Mean log-likelihood; decides between equal recalls, which are frequent on
            few images.
    """

    uar: float
    log_likelihood: float


def score_validation(logits: Tensor, labels: Tensor) -> ValidationScore:
    """Score logits (N, K) against labels (N,)."""
    right = (logits.argmax(dim=1) == labels).double()
    support = torch.bincount(labels, minlength=logits.shape[1])
    recall = torch.bincount(labels, weights=right, minlength=logits.shape[1])
    uar = (recall[support > 0] / support[support > 0]).mean()

    likelihood = -functional.cross_entropy(logits.double(), labels)
    return ValidationScore(float(uar), float(likelihood))


def choose_best(candidates: Iterable[tuple[T, ValidationScore]]) -> tuple[T, ValidationScore]:
    """Return the candidate with the best score; of equal ones the first."""
    return max(candidates, key=lambda candidate: candidate[1])
