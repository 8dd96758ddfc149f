"""Share of each class among the labels that a training run sees, and what its logits carry."""

from __future__ import annotations

import torch
from torch import Tensor

from ke2nt.config.schema import TrainConfig
from ke2nt.models.class_prior import ClassPrior
from ke2nt.training.sampling import image_weights
from ke2nt.training.training_data import TrainingData

__all__ = ["seen_class_shares", "training_prior"]


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
    # at the optimum z + α log π = log p(class | face) under the shares π that were seen
    adjustment = config.loss.logit_adjustment
    carried = seen_class_shares(data, config)
    if adjustment:
        carried = carried.pow(1.0 - adjustment)
        carried = carried / carried.sum()

    classes = data.classes
    return ClassPrior(
        data=dict(zip(classes, natural.tolist(), strict=True)),
        logits=dict(zip(classes, carried.tolist(), strict=True)),
        facts={
            "sampling": config.data.sampling,
            "logit_adjustment": adjustment,
            "soft_labels": config.data.soft_labels,
        },
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
    return torch.nn.functional.one_hot(targets, len(data.classes)).double()


def _shares(counts: Tensor) -> Tensor:
    counts = counts.clamp(min=1.0)
    return counts / counts.sum()
