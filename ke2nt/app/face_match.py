"""A face matched with words; no image passes through the model again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ke2nt.app.face_embedder import EmbeddedFace
from ke2nt.app.vocabulary import ClassWords
from ke2nt.banks.text_bank import TextBank
from ke2nt.explain.occlusion import GRID
from ke2nt.explain.target import log_odds
from ke2nt.models.base import ExpressionModel
from ke2nt.models.ke2nt import KE2NT
from ke2nt.predict.face_settings import FaceSettings
from ke2nt.predict.intensity import compute_intensity
from ke2nt.runtime.l2_normalize import l2_normalize

__all__ = ["FaceMatch", "match_face"]


@dataclass(frozen=True, eq=False)
class FaceMatch:
    """How well a face matches each class.

    Attributes:
        classes: K names.
        probabilities: K numbers that sum to 1, calibrated if the model is.
        intensities: K numbers; None with a linear head.
        scaled: Whether intensity 0 is a neutral face and 1 a typical expression; else it is raw.
        confident: Whether the best probability reaches the threshold of the model.
        target: Index of the class that `effect` explains.
        effect: (G, G) log-odds of the target that are lost if a region is covered.
    """

    classes: tuple[str, ...]
    probabilities: list[float]
    intensities: list[float] | None
    scaled: bool
    confident: bool
    target: int
    effect: Tensor

    @property
    def best(self) -> int:
        """Index of the most probable class."""
        return max(range(len(self.classes)), key=self.probabilities.__getitem__)


@torch.inference_mode()
def match_face(
    model: ExpressionModel, face: EmbeddedFace, words: ClassWords, target: str | None = None
) -> FaceMatch:
    """Match a face with words.

    Args:
        model: The model that embedded the face.
        face: From `FaceEmbedder.embed`.
        words: The trained classes, or others.
        target: The class to explain; if it is None or not a class, the best class.
    """
    # (1 + G², K): the face, then its copies with one region covered
    logits = _compute_logits(model, face, words)
    calibration = model.calibration
    if calibration is not None and words.bank is not None:
        calibration = calibration.for_other_texts()
    logits = logits.double() if calibration is None else calibration.apply(logits.double())

    # of the face itself; the copies only explain it
    probabilities = logits[0].softmax(dim=0).tolist()
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    target_index = words.classes.index(target) if target in words.classes else best
    odds = log_odds(logits, target_index)

    intensities, scaled = _compute_intensities(model, face, words)
    threshold = calibration.thresholds(len(probabilities))[best] if calibration else 0.0
    return FaceMatch(
        classes=words.classes,
        probabilities=probabilities,
        intensities=intensities,
        scaled=scaled,
        confident=probabilities[best] >= threshold,
        target=target_index,
        effect=(odds[0] - odds[1:]).reshape(GRID, GRID),
    )


def _compute_logits(model: ExpressionModel, face: EmbeddedFace, words: ClassWords) -> Tensor:
    """Logits of the face and its copies, as a model with these words would return them."""
    if words.bank is None:
        return face.output.logits
    embeddings = l2_normalize(face.output.embeddings)
    return _get_logit_scale(model, words.bank) * embeddings @ words.bank.embeddings.float().T


def _get_logit_scale(model: ExpressionModel, bank: TextBank) -> float:
    """As in `set_bank`: a scale that was neither configured nor learned follows the bank."""
    assert isinstance(model, KE2NT)
    if model.log_logit_scale is None and model.architecture["logit_scale"] is None:
        return bank.logit_scale
    return float(model.logit_scale)


def _compute_intensities(
    model: ExpressionModel, face: EmbeddedFace, words: ClassWords
) -> tuple[list[float] | None, bool]:
    """Intensity of the face for each class, and whether it is on the scale of the model."""
    bank = words.bank or model.bank
    scale = FaceSettings.from_model(model).intensity if words.bank is None else None
    if bank is None:
        return None, scale is not None

    raw = compute_intensity(face.output.embeddings[:1], None, bank.to("cpu")).double().numpy()
    if scale is not None:
        raw = scale.apply(raw, words.classes, neutral_photo=False)
    return raw[0].tolist(), scale is not None
