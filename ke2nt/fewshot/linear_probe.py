"""Logistic regression on embeddings, as the linear probe of CLIP (https://arxiv.org/abs/2103.00020)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from ke2nt.fewshot.method import FewShotTask, Fitted
from ke2nt.fewshot.selection import ValidationScore, choose_best, score_validation
from ke2nt.models.adapters import LinearProbe

__all__ = ["fit_linear_probe"]

_COARSE = range(-6, 7, 2)  # powers of ten
_HALVINGS = (1.0, 0.5, 0.25, 0.125)  # decades: 8 steps in each, as in the paper
_ITERATIONS = 1000


def fit_linear_probe(task: FewShotTask) -> Fitted:
    """Fit a logistic regression whose inverse regularization C is chosen on validation images.

    As in the paper, C is searched from 1e-6 to 1e6: first every second decade, then around the best
    value in steps that are halved until there are 8 in a decade.
    """
    search = _Search(task)
    best, score = choose_best((float(power), search.score(power)) for power in _COARSE)

    # Of equal scores the first one wins, so a step is taken only if it helps
    for step in _HALVINGS:
        powers = [best, *(best + sign * step for sign in (-1, 1))]
        best, score = choose_best((p, search.score(p)) for p in powers if -6 <= p <= 6)
    return Fitted(search.probes[best], task.bank, {"C": 10.0**best, "validation_uar": score.uar})


class _Search:
    """Probes that were fitted, by the power of ten of C."""

    def __init__(self, task: FewShotTask) -> None:
        self._task = task
        self.probes: dict[float, LinearProbe] = {}
        self._scores: dict[float, ValidationScore] = {}

    def score(self, power: float) -> ValidationScore:
        """Fit with C = 10^power, unless it was fitted before."""
        if power not in self._scores:
            probe = self.probes[power] = self._fit(10.0**power)
            text = self._task.bank.embeddings
            with torch.inference_mode():
                logits = probe(self._task.validation.embeddings, text, 1.0).logits
            self._scores[power] = score_validation(logits, self._task.validation.labels)
        return self._scores[power]

    def _fit(self, inverse_regularization: float) -> LinearProbe:
        task = self._task
        model: Any = LogisticRegression(C=inverse_regularization, max_iter=_ITERATIONS)
        with warnings.catch_warnings():
            # without regularization separable classes never converge; the scores decide
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(task.train.embeddings.numpy(), task.train.labels.numpy())

        # for two classes scikit-learn stores one row, the difference of the logits
        weight, bias = model.coef_, model.intercept_
        if len(bias) == 1:
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        probe = LinearProbe(task.bank.dim, task.bank.classes)
        with torch.no_grad():
            probe.weight.copy_(torch.from_numpy(weight))
            probe.bias.copy_(torch.from_numpy(bias))
        return probe.eval()
