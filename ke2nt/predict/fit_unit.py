"""The raw intensity that is called 1, from a split that a model was trained or selected on."""

from __future__ import annotations

import numpy as np

from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import DataError, ModelError
from ke2nt.labels import NEUTRAL
from ke2nt.models.recogniser import Recogniser
from ke2nt.predict.classify import FaceClassifier

__all__ = ["fit_intensity_unit"]


def fit_intensity_unit(
    model: Recogniser, images: FaceTensors, *, min_confidence: float = 0.7, batch_size: int = 128
) -> float:
    """Median raw intensity of the faces that a model names with confidence, neutral ones aside.

    Store it with `update_folder(folder, card={"predict": ModelUse(intensity_unit=…).to_dict()})`.

    Args:
        model: A recogniser with a text head.
        images: Face crops at the model's image size.
        min_confidence: Least probability of the answer.
        batch_size: Images a forward pass.

    Raises:
        ModelError: The model has a linear head.
        DataError: No face is named with that confidence and away from neutral.
    """
    classifier = FaceClassifier(
        model, device=next(model.parameters()).device, batch_size=batch_size
    )
    neutral = model.classes.index(NEUTRAL) if NEUTRAL in model.classes else -1
    found: list[float] = []
    for batch in images.batches(batch_size):
        scores = classifier.classify([*batch.pixels.permute(0, 2, 3, 1).numpy()])
        if scores.intensities is None:
            raise ModelError("a linear head has no intensity")
        best = scores.probabilities.argmax(axis=1)
        rows = np.arange(len(best))
        sure = (scores.probabilities[rows, best] >= min_confidence) & (best != neutral)
        found += (scores.intensities[rows, best][sure] * classifier.use.intensity_unit).tolist()
    unit = float(np.median(found)) if found else 0.0
    if unit <= 0:
        raise DataError(
            "no typical intensity can be found",
            expected=f"faces named with a probability of {min_confidence} or more",
            found=f"{len(found)} of them",
        )
    return unit
