"""Whether the images of the target look different at all, by a model's embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ke2nt.adapt.domains import Domains
from ke2nt.adapt.label_free_metrics import compute_domain_distance
from ke2nt.config.adapt import AdaptConfig
from ke2nt.evaluation.predictions import Predictions, compute_predictions
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.seeding import derive_seed
from ke2nt.training.compute import EVAL_BATCH_SIZE, Compute

__all__ = ["Gate", "compute_matched_distance", "match_classes", "measure_gate"]

_MIN_MATCHED = 20


@dataclass(frozen=True)
class Gate:
    """A measured distance of the domains, and the least one at which a model is adapted.

    Attributes:
        distance: In [0, 2], 0 where the embeddings of the domains cannot be told apart.
        least: The setting `adapt.gate`.
    """

    distance: float
    least: float

    @property
    def opens(self) -> bool:
        """Whether the model is to be adapted."""
        return self.distance >= self.least

    def to_dict(self) -> dict[str, float | bool]:
        """Return a plain JSON value."""
        return {"distance": self.distance, "least": self.least, "adapted": self.opens}


def measure_gate(
    config: AdaptConfig, domains: Domains, model: ExpressionModel, compute: Compute
) -> Gate | None:
    """Measure how far apart the domains are for the model to start from. No label is read.

    Args:
        config: The run's configuration.
        domains: The images: those of the target, and held-out ones of the source.
        model: Moved to the device of `compute`.
        compute: Where to predict.

    Returns:
        None where the configuration has no gate.

    Raises:
        DataError: No image of a domain can be read.
    """
    least = config.adapt.gate
    if least is None or domains.source is None:
        return None
    first, second = (
        compute_predictions(
            model, images, batch_size=EVAL_BATCH_SIZE, device=compute.device, embeddings=True
        )
        for images in (domains.source.val, domains.target.images)
    )
    return Gate(compute_matched_distance(first, second, seed=config.seed), least)


def compute_matched_distance(source: Predictions, target: Predictions, *, seed: int = 0) -> float:
    """Compute the proxy A-distance of two domains with equally many images of each class.

    Without labels, the classes are the predicted ones. A shift of the class shares alone moves the
    plain distance, as the embeddings of a class lie together; it hardly moves this one.

    Args:
        source: Predictions with embeddings.
        target: The same for the other domain.
        seed: Seed of the choice of images.

    Returns:
        In [0, 2]; 2 where fewer than 20 images of a domain share a predicted class with the other.
    """
    assert source.embeddings is not None
    assert target.embeddings is not None
    rows = match_classes(
        source.probabilities.argmax(axis=1), target.probabilities.argmax(axis=1), seed=seed
    )
    if len(rows[0]) < _MIN_MATCHED:
        return 2.0
    distance = compute_domain_distance(
        source.embeddings[rows[0]], target.embeddings[rows[1]], seed=seed
    )
    assert distance is not None
    return distance


def match_classes(
    source: np.ndarray, target: np.ndarray, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Choose random images so that both domains have equally many of each class.

    Args:
        source: (N,) classes.
        target: (M,) classes.
        seed: Seed of the choice.

    Returns:
        Indices into both, equally many, sorted.
    """
    rng = np.random.default_rng(derive_seed(seed, "matched classes"))
    chosen: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for k in np.intersect1d(source, target):
        rows = [np.flatnonzero(labels == k) for labels in (source, target)]
        count = min(map(len, rows))
        for kept, indices in zip(chosen, rows, strict=True):
            kept.append(rng.permutation(indices)[:count])

    first, second = (
        np.sort(np.concatenate(rows)) if rows else np.zeros(0, np.int64) for rows in chosen
    )
    return first, second
