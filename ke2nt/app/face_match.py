"""A face under some words: no image passes through the model again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ke2nt.app.face_embedder import EmbeddedFace
from ke2nt.app.vocabulary import Words
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
    """What a model says of a face.

    Attributes:
        classes: K names.
        probabilities: K numbers that sum to 1, calibrated where the model is.
        intensities: K numbers; None with a linear head.
        scaled: Whether 0 is a neutral face and 1 a typical expression; else they are raw.
        sure: Whether the best probability reaches the model's threshold.
        target: Index of the class that `effect` is about.
        effect: (G, G) log-odds of the target that are lost where a region is covered.
    """

    classes: tuple[str, ...]
    probabilities: list[float]
    intensities: list[float] | None
    scaled: bool
    sure: bool
    target: int
    effect: Tensor

    @property
    def best(self) -> int:
        """Index of the most probable class."""
        return max(range(len(self.classes)), key=self.probabilities.__getitem__)


@torch.inference_mode()
def match_face(
    model: ExpressionModel, face: EmbeddedFace, words: Words, target: str | None = None
) -> FaceMatch:
    """Match a face with words.

    Args:
        model: The model that saw the face.
        face: From `FaceEmbedder.read`.
        words: The model's own classes, or others.
        target: The class whose regions are shown; the answer where it is None or no class.
    """
    logits, calibration = face.output.logits, model.calibration
    bank = model.bank
    if words.bank is not None:
        bank = words.bank
        rows = l2_normalize(face.output.embeddings)
        logits = _scale(model, bank) * rows @ bank.embeddings.float().T
        calibration = calibration and calibration.for_other_texts()
    logits = logits.double() if calibration is None else calibration.apply(logits.double())
    probabilities = logits[0].softmax(dim=0).tolist()
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    chosen = words.classes.index(target) if target in words.classes else best
    odds = log_odds(logits, chosen)
    moves = None
    scale = FaceSettings.from_model(model).intensity if words.bank is None else None
    if bank is not None:
        raw = compute_intensity(face.output.embeddings[:1], None, bank.to("cpu")).double().numpy()
        moves = (raw if scale is None else scale.apply(raw, words.classes, neutral_photo=False))[0]
    threshold = (calibration.min_confidence if calibration else None) or 0.0
    return FaceMatch(
        classes=words.classes,
        probabilities=probabilities,
        intensities=None if moves is None else moves.tolist(),
        scaled=scale is not None,
        sure=probabilities[best] >= threshold,
        target=chosen,
        effect=(odds[0] - odds[1:]).reshape(GRID, GRID),
    )


def _scale(model: ExpressionModel, bank: TextBank) -> float:
    """As `set_bank` does: a scale that was neither given nor learned follows the bank."""
    assert isinstance(model, KE2NT)
    if model.log_logit_scale is None and model.architecture["logit_scale"] is None:
        return bank.logit_scale
    return float(model.logit_scale)
