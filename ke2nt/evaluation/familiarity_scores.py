"""From a model and cropped faces to a familiarity: what is embedded for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ke2nt.data.sample import FaceSplit
from ke2nt.evaluation.calibration_scores import CalibrationScores
from ke2nt.evaluation.evaluate_model import decode_for_model
from ke2nt.evaluation.fit_familiarity import fit_familiarity
from ke2nt.evaluation.non_faces import BACKGROUNDS, PARTS, loose_crops, non_faces
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.models.base import ExpressionModel
from ke2nt.models.familiarity import Familiarity

__all__ = ["compute_familiarity"]


def compute_familiarity(
    model: ExpressionModel,
    split: FaceSplit,
    scores: CalibrationScores,
    *,
    side: int,
    reject: float = 0.005,
    unfamiliar: float = 0.01,
    folds: int = 5,
    seed: int = 0,
    quiet: bool = True,
    **options: Any,
) -> Familiarity:
    """Embed shifted and turned faces and images without a face, and fit a familiarity.

    Args:
        model: A recognizer.
        split: Cropped faces that it was not trained on.
        scores: Of the same split, with its embeddings and those of degraded copies.
        side: Side in pixels of the faces that the model was trained on.
        reject: Share of the faces that may be taken for no face.
        unfamiliar: Share of the faces that may be taken for unfamiliar ones.
        folds: Folds of the cross-fitted limits.
        seed: Seed of the crops, the backgrounds and the folds.
        quiet: Show no progress on stderr.
        **options: Options of `compute_predictions`.

    Raises:
        DataError: There are too few images, or a share is out of range.
    """

    def embed(images: FaceSplit) -> np.ndarray:
        faces = decode_for_model(model, images, quiet=quiet)
        found = compute_predictions(model, faces, embeddings=True, quiet=quiet, **options)
        assert found.embeddings is not None
        return found.embeddings

    # a small split has as few others, so that the fit to it takes no longer than it is worth
    backgrounds, parts = min(BACKGROUNDS, 2 * len(split)), min(PARTS, len(split))
    others = embed(non_faces(split, side, backgrounds=backgrounds, parts=parts, seed=seed))
    copies = [embed(loose_crops(split, seed=seed))[None]]
    if scores.degraded_embeddings is not None:
        copies.append(scores.degraded_embeddings)

    faces = scores.predictions.embeddings
    assert faces is not None
    return fit_familiarity(
        faces,
        others,
        changed=np.concatenate(copies),
        reject=reject,
        unfamiliar=unfamiliar,
        folds=folds,
        seed=seed,
        fitted_on={"dataset": split.dataset, "split": split.split, "n": len(faces)},
    )
