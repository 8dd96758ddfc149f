"""Tip-Adapter and Tip-Adapter-F (https://arxiv.org/abs/2207.09519): a cache of training images."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from ke2nt.fewshot.features import Features
from ke2nt.fewshot.method import FewShotTask, Fitted
from ke2nt.fewshot.selection import choose_best, score_validation
from ke2nt.fewshot.train_adapter import train_adapter
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.adapters import TipAdapter
from ke2nt.runtime.l2_normalize import l2_normalize
from ke2nt.runtime.seeding import torch_generator

__all__ = ["build_cache", "fit_tip_adapter", "fit_tip_adapter_f"]

MAX_KEYS = 16
"""Keys of a class, as published; more images are averaged in groups."""

# fractions of the logit scale, which the text's part of the logits is in proportion to
_ALPHAS = (0.001, 0.003, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
_BETAS = (0.5, 1.0, 2.0, 3.5, 5.5, 8.0, 12.0, 20.0, 40.0)
_RATE = 1e-3  # as published


def fit_tip_adapter(task: FewShotTask) -> Fitted:
    """Fill the cache with the training images; nothing is trained."""
    adapter = build_cache(task)
    return Fitted(adapter, task.bank, _choose(adapter, task))


def fit_tip_adapter_f(task: FewShotTask) -> Fitted:
    """Fill the cache and train its keys with cross-entropy; α and β are chosen afterwards."""
    adapter = build_cache(task)

    # the published first values, for the scale of CLIP
    adapter.alpha, adapter.beta = 0.01 * task.logit_scale, 5.5
    cross_entropy = KE2NTLoss((1, 0, 0))
    train_adapter(adapter, task, cross_entropy, rate=_RATE, purpose="tip-adapter-f")
    return Fitted(adapter, task.bank, _choose(adapter, task))


def build_cache(task: FewShotTask) -> TipAdapter:
    """Fill a cache with at most 16 keys of each class."""
    keys, labels = [], []
    for k in range(task.bank.num_classes):
        of_class = task.train.embeddings[task.train.labels == k]
        keys.append(_average_in_groups(of_class, task.seed))
        labels += [k] * len(keys[-1])
    features = Features(torch.cat(keys), torch.tensor(labels))
    return TipAdapter.from_features(*features, task.bank.classes)


def _average_in_groups(unit: Tensor, seed: int) -> Tensor:
    """At most 16 keys of one class (N, D): its images, or directions of means of random groups."""
    if len(unit) <= MAX_KEYS:
        return unit
    order = torch.randperm(len(unit), generator=torch_generator(seed, "few-shot", "groups"))
    means = [group.mean(dim=0) for group in unit[order].tensor_split(MAX_KEYS)]
    return l2_normalize(torch.stack(means))


@torch.inference_mode()
def _choose(adapter: TipAdapter, task: FewShotTask) -> dict[str, Any]:
    """Set the α and β that are best on the validation images, and return them."""
    unit, labels = task.validation
    text_logits = task.logit_scale * unit @ task.bank.embeddings.T

    # (N, K) evidence of the cache with α = 1, once for each β
    adapter.alpha = 1.0
    evidence = {}
    for adapter.beta in _BETAS:
        evidence[adapter.beta] = adapter.add_evidence(unit, torch.zeros_like(text_logits))

    (alpha, beta), score = choose_best(
        ((alpha, beta), score_validation(text_logits + alpha * evidence[beta], labels))
        for alpha, beta in itertools.product([a * task.logit_scale for a in _ALPHAS], _BETAS)
    )
    adapter.alpha, adapter.beta = alpha, beta
    return {"alpha": alpha, "beta": beta, "validation_uar": score.uar}
