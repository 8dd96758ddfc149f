"""Face crops → calibrated probabilities and intensities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ke2nt.errors import ModelError
from ke2nt.models.base import ExpressionModel
from ke2nt.models.output import KE2NTOutput
from ke2nt.predict.crop import crop_face
from ke2nt.predict.detections import Box
from ke2nt.predict.face_settings import FaceSettings
from ke2nt.predict.intensity import intensity

__all__ = ["FaceClassifier", "Scores"]


class Scores(NamedTuple):
    """What a model says of N faces.

    Attributes:
        probabilities: float64 (N, K), rows sum to 1, calibrated where the model is.
        intensities: float64 (N, K), see `ke2nt.predict.intensity`; None with a linear head.
    """

    probabilities: np.ndarray
    intensities: np.ndarray | None

    def slice(self, start: int, stop: int) -> Scores:
        """Scores of some of the faces."""
        moves = None if self.intensities is None else self.intensities[start:stop]
        return Scores(self.probabilities[start:stop], moves)

    def joined(self) -> np.ndarray:
        """Everything side by side: (N, K) or (N, 2 K)."""
        parts = [self.probabilities, *([] if self.intensities is None else [self.intensities])]
        return np.concatenate(parts, axis=1)

    def like(self, joined: np.ndarray) -> Scores:
        """Inverse of `joined`."""
        k = self.probabilities.shape[1]
        return Scores(joined[:, :k], None if self.intensities is None else joined[:, k:])


class FaceClassifier:
    """A model with everything that its crops need.

    Args:
        model: A recognizer; moved to the device and put in evaluation mode.
        device: Where to compute.
        batch_size: Faces a forward pass.

    Attributes:
        reference: (1, D) embedding of a neutral photo, or None for the median neutral face.
        own_words: Whether the model has the classes that its scale of intensity was fitted for.
    """

    def __init__(self, model: ExpressionModel, *, device: torch.device, batch_size: int) -> None:
        self.model = model.to(device).eval()
        self.device = device
        self.batch_size = batch_size
        self.use = FaceSettings.from_model(model)
        self.reference: Tensor | None = None
        self.own_words = True

    def crop(self, pixels: np.ndarray, box: Box | None) -> np.ndarray:
        """The model's view of a face: uint8 (S, S, 3); the whole picture where there is no box."""
        return crop_face(pixels, box, self.model.preprocessing, self.use)

    def set_reference(self, crop: np.ndarray) -> None:
        """Take a face, as `crop` gives it, as the neutral one that intensities start from.

        Raises:
            ModelError: The model has a linear head.
        """
        if self.model.bank is None:
            raise ModelError("a linear head has no text to measure intensity along")
        self.reference = self._forward([crop]).embeddings

    def classify(self, crops: Sequence[np.ndarray]) -> Scores:
        """Scores of N crops, N ≥ 1.

        Raises:
            ModelError: The model's logits are not finite.
        """
        parts = [
            self._scores(crops[start : start + self.batch_size])
            for start in range(0, len(crops), self.batch_size)
        ]
        probabilities, intensities = zip(*parts, strict=True)
        moves = None if intensities[0] is None else np.concatenate(intensities)
        return Scores(np.concatenate(probabilities), moves)

    def _scores(self, crops: Sequence[np.ndarray]) -> Scores:
        output = self._forward(crops)
        logits = output.logits.double().cpu()
        if not logits.isfinite().all():
            raise ModelError(
                "the model gives logits that are not finite",
                hint="The weights are damaged, or training diverged.",
            )
        if self.model.calibration is not None:
            logits = self.model.calibration.apply(logits)
        probabilities = logits.softmax(dim=-1).numpy()
        if self.model.bank is None:
            return Scores(probabilities, None)
        raw = intensity(output.embeddings, self.reference, self.model.bank)
        moves = raw.double().cpu().numpy()
        if self.own_words and self.use.intensity is not None:
            moves = self.use.intensity.apply(
                moves, self.model.classes, own_photo=self.reference is not None
            )
        return Scores(probabilities, moves)

    @torch.inference_mode()
    def _forward(self, crops: Sequence[np.ndarray]) -> KE2NTOutput:
        pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).to(self.device)
        return self.model(self.model.preprocessing.normalize(pixels))
