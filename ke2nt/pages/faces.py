"""Which faces a report shows, and what the model said of them."""

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
    """One face with its answer.

    Attributes:
        pixels: uint8 (H, W, 3), RGB.
        true: Name of the true class, None where it is not known.
        predicted: Name of the predicted class.
        confidence: Probability of the predicted class, in [0, 1].
        name: Name of the sample.
        before: What another model answered, where two are compared.
    """

    pixels: np.ndarray
    true: str | None
    predicted: str
    confidence: float
    name: str
    before: str | None = None

    @property
    def right(self) -> bool | None:
        """Whether the answer is right; None where that is not known."""
        return None if self.true is None else self.true == self.predicted


@dataclass(frozen=True)
class FaceGroup:
    """Faces shown together, and how they were chosen."""

    title: str
    faces: tuple[FacePrediction, ...]


def pick_faces(
    evaluation: Evaluation, images: FaceTensors, *, count: int = 12, seed: int = 0
) -> tuple[FaceGroup, ...]:
    """A random sample of the scored faces, and the most confident mistakes.

    Args:
        evaluation: Result on `images`.
        images: The evaluated split; faces are looked up by name.
        count: Faces a group.
        seed: Seed of the sample.
    """
    p = evaluation.predictions
    guess, confidence = p.probabilities.argmax(axis=1), p.probabilities.max(axis=1)
    rng = np.random.default_rng(derive_seed(seed, "report faces"))
    sample = np.sort(rng.choice(len(p), min(count, len(p)), replace=False))
    wrong = np.flatnonzero(guess != p.labels)
    mistakes = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    pixels = _pictures([p.names[i] for i in (*sample, *mistakes)], images)
    faces = {
        int(i): FacePrediction(
            pixels=pixels[p.names[i]],
            true=p.classes[p.labels[i]],
            predicted=p.classes[guess[i]],
            confidence=float(confidence[i]),
            name=p.names[i],
        )
        for i in (*sample, *mistakes)
        if p.names[i] in pixels
    }
    groups = {"A random sample": sample, "The most confident mistakes": mistakes}
    return tuple(
        FaceGroup(title, tuple(faces[int(i)] for i in which if int(i) in faces))
        for title, which in groups.items()
        if len(which)
    )


def changed_faces(
    before: Predictions, after: Predictions, images: FaceTensors, *, count: int = 12
) -> tuple[FaceGroup, ...]:
    """The faces that two models answer differently, those first that the second is surest of.

    Args:
        before: Answers of the first model for `images`.
        after: Answers of the second, for the same images in the same order.
        images: The split; faces are looked up by name.
        count: Most faces.
    """
    old, new = before.probabilities.argmax(axis=1), after.probabilities.argmax(axis=1)
    confidence = after.probabilities.max(axis=1)
    moved = np.flatnonzero(old != new)
    chosen = moved[np.argsort(-confidence[moved], kind="stable")][:count]
    pixels = _pictures([after.names[i] for i in chosen], images)
    faces = tuple(
        FacePrediction(
            pixels=pixels[after.names[i]],
            true=None,
            predicted=after.classes[new[i]],
            confidence=float(confidence[i]),
            name=after.names[i],
            before=before.classes[old[i]],
        )
        for i in chosen
        if after.names[i] in pixels
    )
    return (FaceGroup("The surest answers that changed", faces),) if faces else ()


def _pictures(names: Sequence[str], images: FaceTensors) -> dict[str, np.ndarray]:
    """Name → uint8 (S, S, 3) of some images of a split, those left out that cannot be read."""
    position = {sample.name: index for index, sample in enumerate(images.split.samples)}
    order = torch.tensor(sorted({position[name] for name in names}), dtype=torch.int64)
    found = {}
    for batch in images.batches(max(1, len(order)), order=order):
        for pixels, index in zip(batch.pixels, batch.indices.tolist(), strict=True):
            name = images.split.samples[index].name
            found[name] = pixels.permute(1, 2, 0).cpu().numpy().copy()
    return found
