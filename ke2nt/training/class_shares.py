"""Share of each class among the labels that a training run sees, and what its logits carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ke2nt.config.schema import TrainConfig
from ke2nt.data.sample import FaceSplit
from ke2nt.labels import map_labels
from ke2nt.models.class_prior import ClassPrior
from ke2nt.training.sampling import image_weights
from ke2nt.training.training_data import TrainingData

__all__ = ["seen_class_shares", "split_prior", "training_prior"]


def seen_class_shares(data: TrainingData, config: TrainConfig) -> Tensor:
    """Compute the expected share of each class among the labels of an epoch.

    Counts each image as often as it is expected to be drawn, vote shares by their values, and
    synthetic images by their share of an epoch. A class without images counts as one image.

    Args:
        data: Training images with their targets.
        config: Sampling of the run.

    Returns:
        (K,) float64, above 0, sum 1.
    """
    seen = _seen_labels(data, config.data.sampling)

    # each synthetic image is taken equally often
    if data.synthetic_per_epoch:
        synthetic = _target_rows(data, data.synthetic_positions).mean(dim=0)
        seen = seen + data.synthetic_per_epoch * synthetic
    return _shares(seen)


def training_prior(data: TrainingData, config: TrainConfig) -> ClassPrior:
    """Return the class shares of the real training labels, and those that the logits carry."""
    natural = _shares(_seen_labels(data, "natural"))
    facts = {
        "sampling": config.data.sampling,
        "logit_adjustment": config.loss.logit_adjustment,
        "soft_labels": config.data.soft_labels,
    }
    return _build_prior(data.classes, natural, seen_class_shares(data, config), facts)


def split_prior(
    split: FaceSplit, classes: tuple[str, ...], config: Mapping[str, Any]
) -> ClassPrior:
    """Return the same for a model whose card does not have it, from its training split.

    Args:
        split: The images that it was trained on, with the model's classes in any order.
        classes: The model's classes.
        config: The configuration on its card; {} for images that were seen once, with one label.

    Raises:
        LabelError: The split has other classes.
    """
    data, loss = config.get("data") or {}, config.get("loss") or {}
    facts = {
        "sampling": data.get("sampling", "natural"),
        "logit_adjustment": loss.get("logit_adjustment", 0.0),
        "soft_labels": data.get("soft_labels", False),
        "labels": {"dataset": split.dataset, "split": split.split, "n": len(split)},
    }

    # (N, K) targets in the model's order
    mapping = map_labels(split.classes, classes)
    order = torch.tensor([split.classes.index(name) for name in classes])
    labels = torch.tensor(mapping.index)[torch.from_numpy(split.labels())]
    rows = one_hot(labels, len(classes)).double()
    if facts["soft_labels"]:
        rows = torch.from_numpy(split.distributions()).double()[:, order]

    weights = image_weights(labels, facts["sampling"])
    seen = (weights / weights.sum()) @ rows * len(rows)
    natural = _shares(rows.sum(dim=0))
    if facts["sampling"] == "natural":
        return _build_prior(classes, natural, natural, facts)
    return _build_prior(classes, natural, _shares(seen), facts)


def _build_prior(
    classes: tuple[str, ...], natural: Tensor, seen: Tensor, facts: dict[str, Any]
) -> ClassPrior:
    """The prior of logits that were trained under shares (K,) with a logit adjustment."""
    # at the optimum z + α log π = log p(class | face) under the shares π that were seen
    carried = seen
    if facts["logit_adjustment"]:
        carried = carried.pow(1.0 - facts["logit_adjustment"])
        carried = carried / carried.sum()
    return ClassPrior(
        data=dict(zip(classes, natural.tolist(), strict=True)),
        logits=dict(zip(classes, carried.tolist(), strict=True)),
        facts=facts,
    )


def _seen_labels(data: TrainingData, sampling: str) -> Tensor:
    """(K,) how often an epoch is expected to show each class in real images."""
    labels = torch.from_numpy(data.train.split.labels())[data.real_positions]
    weights = image_weights(labels, sampling)
    weights = weights * (len(labels) / weights.sum())
    return weights @ _target_rows(data, data.real_positions)


def _target_rows(data: TrainingData, positions: Tensor) -> Tensor:
    """(N, K) float64 distribution of each image's target."""
    targets = data.targets[positions]
    if targets.is_floating_point():
        return targets.double()
    return one_hot(targets, len(data.classes)).double()


def _shares(counts: Tensor) -> Tensor:
    counts = counts.clamp(min=1.0)
    return counts / counts.sum()
