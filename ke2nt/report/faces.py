"""Which faces a report shows, and what the model said of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.score import Evaluation
from ke2nt.runtime.seeding import derive_seed

__all__ = ["FaceGroup", "FacePrediction", "pick_faces"]


@dataclass(frozen=True)
class FacePrediction:
    """One face with its answer.

    Attributes:
        pixels: uint8 (H, W, 3), RGB.
        true: Name of the true class.
        predicted: Name of the predicted class.
        confidence: Probability of the predicted class, in [0, 1].
        name: Name of the sample.
    """

    pixels: np.ndarray
    true: str
    predicted: str
    confidence: float
    name: str

    @property
    def right(self) -> bool:
        """Whether the answer is right."""
        return self.true == self.predicted


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
    position = {sample.name: index for index, sample in enumerate(images.split.samples)}
    chosen = {position[p.names[i]]: int(i) for i in (*sample, *mistakes)}
    faces: dict[int, FacePrediction] = {}
    for batch in images.batches(len(chosen), order=torch.tensor(list(chosen))):
        for pixels, index in zip(batch.pixels, batch.indices.tolist(), strict=True):
            i = chosen[index]
            faces[i] = FacePrediction(
                pixels=pixels.permute(1, 2, 0).numpy().copy(),
                true=p.classes[p.labels[i]],
                predicted=p.classes[guess[i]],
                confidence=float(confidence[i]),
                name=p.names[i],
            )
    groups = {"A random sample": sample, "The most confident mistakes": mistakes}
    return tuple(
        FaceGroup(title, tuple(faces[int(i)] for i in which if int(i) in faces))
        for title, which in groups.items()
        if len(which)
    )
