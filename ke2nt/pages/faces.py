"""The faces that a report shows, with the model's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.predictions import Predictions
from ke2nt.evaluation.score import Evaluation
from ke2nt.runtime.seeding import derive_seed

__all__ = ["FaceGroup", "FacePrediction", "changed_faces", "pick_faces"]


@dataclass(frozen=True)
class FacePrediction:
    """One face with its prediction.

    Attributes:
        pixels: uint8 (H, W, 3), RGB.
        true: Name of the true class, None if unknown.
        predicted: Name of the predicted class.
        confidence: Probability of the predicted class, in [0, 1].
        name: Name of the sample.
        before: Prediction of another model, if two are compared.
    """

    pixels: np.ndarray
    true: str | None
    predicted: str
    confidence: float
    name: str
    before: str | None = None

    @property
    def right(self) -> bool | None:
        """Whether the prediction is right; None if unknown."""
        return None if self.true is None else self.true == self.predicted


@dataclass(frozen=True)
class FaceGroup:
    """Faces shown together, with a title that says how they were chosen."""

    title: str
    faces: tuple[FacePrediction, ...]


def pick_faces(
    evaluation: Evaluation, images: FaceTensors, *, count: int = 12, seed: int = 0
) -> tuple[FaceGroup, ...]:
    """Pick a random sample of the scored faces, and the most confident mistakes.

    Args:
        evaluation: Result on `images`.
        images: The evaluated split; faces are looked up by name.
        count: Faces per group.
        seed: Seed of the sample.
    """
    predictions = evaluation.predictions
    predicted = predictions.probabilities.argmax(axis=1)
    confidence = predictions.probabilities.max(axis=1)

    rng = np.random.default_rng(derive_seed(seed, "report faces"))
    size = min(count, len(predictions))
    sample = np.sort(rng.choice(len(predictions), size, replace=False))
    wrong = np.flatnonzero(predicted != predictions.labels)
    mistakes = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]

    # Every face is read once, even if both groups show it.
    names = predictions.names
    pixels = _read_pixels([names[i] for i in (*sample, *mistakes)], images)
    groups = []
    for title, chosen in (("A random sample", sample), ("The most confident mistakes", mistakes)):
        faces = tuple(
            FacePrediction(
                pixels=pixels[names[i]],
                true=predictions.classes[predictions.labels[i]],
                predicted=predictions.classes[predicted[i]],
                confidence=float(confidence[i]),
                name=names[i],
            )
            for i in chosen
            if names[i] in pixels
        )
        if len(chosen):
            groups.append(FaceGroup(title, faces))
    return tuple(groups)


def changed_faces(
    before: Predictions, after: Predictions, images: FaceTensors, *, count: int = 12
) -> tuple[FaceGroup, ...]:
    """Pick the faces that two models predict differently, most confident first.

    Args:
        before: Predictions of the first model for `images`.
        after: Predictions of the second for the same images in the same order; its confidence
            decides the order.
        images: The split; faces are looked up by name.
        count: Maximum number of faces.
    """
    old = before.probabilities.argmax(axis=1)
    new = after.probabilities.argmax(axis=1)
    confidence = after.probabilities.max(axis=1)
    # Positions of changed predictions, the second model's most confident first.
    changed = np.flatnonzero(old != new)
    chosen = changed[np.argsort(-confidence[changed], kind="stable")][:count]

    names = after.names
    pixels = _read_pixels([names[i] for i in chosen], images)
    faces = tuple(
        FacePrediction(
            pixels=pixels[names[i]],
            true=None,
            predicted=after.classes[new[i]],
            confidence=float(confidence[i]),
            name=names[i],
            before=before.classes[old[i]],
        )
        for i in chosen
        if names[i] in pixels
    )
    return (FaceGroup("The most confident predictions that changed", faces),) if faces else ()


def _read_pixels(names: Sequence[str], images: FaceTensors) -> dict[str, np.ndarray]:
    """Name → uint8 (S, S, 3) of some images of a split, without those that cannot be read."""
    positions = {sample.name: index for index, sample in enumerate(images.split.samples)}
    order = torch.tensor(sorted({positions[name] for name in names}), dtype=torch.int64)

    by_name = {}
    for batch in images.batches(max(1, len(order)), order=order):
        for pixels, index in zip(batch.pixels, batch.indices.tolist(), strict=True):
            name = images.split.samples[index].name
            by_name[name] = pixels.permute(1, 2, 0).cpu().numpy().copy()
    return by_name
