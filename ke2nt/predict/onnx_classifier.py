"""The engine "onnx": face crops → calibrated probabilities and intensities, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ke2nt.data.images import ImageLike, decode
from ke2nt.errors import ModelError
from ke2nt.export.engine_file import open_engine_file
from ke2nt.export.ort import OnnxRecognizer
from ke2nt.models.calibration import Calibration
from ke2nt.predict.crop import crop_face
from ke2nt.predict.detections import Box
from ke2nt.predict.face_settings import FaceSettings
from ke2nt.predict.scores import Scores

__all__ = ["FamiliarityLimits", "OnnxClassifier", "OnnxModel"]

_INTERPOLATION = "bicubic"  # of models whose file does not say it


class FamiliarityLimits(NamedTuple):
    """Limits of the outputs `face_score` and `distance`, as of `Familiarity`."""

    min_face: float
    max_distance: float


class OnnxModel:
    """A recognizer in ONNX Runtime.

    Args:
        network: The opened file.

    Attributes:
        network: The opened file.
        card: Facts for prediction, as on the model's card.
        calibration: Applied to the logits; None if there is none.
        familiarity: The limits of a model that knows what is no face; None without.
        bank: None: the class texts are constants of the file.
    """

    head = "onnx"
    bank = None

    def __init__(self, network: OnnxRecognizer) -> None:
        self.network = network
        self.card: dict[str, Any] = dict(network.facts.get("card") or {})
        stored = network.facts.get("calibration")
        self.calibration = None if stored is None else Calibration.from_dict(stored)
        limits = network.facts.get("familiarity")
        self.familiarity = limits and FamiliarityLimits(limits["min_face"], limits["max_distance"])
        self._interpolation: str = network.facts.get("interpolation", _INTERPOLATION)

    @classmethod
    def load(cls, name: str | Path) -> OnnxModel:
        """Open the ONNX file of a model, see `open_engine_file`."""
        return cls(open_engine_file(name))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in index order."""
        return self.network.classes

    def resize(self, image: ImageLike) -> np.ndarray:
        """Resize an image as the model's preprocessing does: uint8 (S, S, 3)."""
        return decode(image, size=self.network.image_size, interpolation=self._interpolation)


class OnnxClassifier:
    """A model in ONNX Runtime together with everything that its crops need.

    Args:
        model: The model.
        batch_size: Faces per call.

    Attributes:
        settings: How the model expects faces to be cropped.
        neutral: (1, K) raw intensities of a neutral photo, or None for the median neutral face.
        custom_classes: Always False.
    """

    def __init__(self, model: OnnxModel, *, batch_size: int) -> None:
        self.model = model
        self.batch_size = batch_size
        self.settings = FaceSettings.from_model(model)
        self.neutral: np.ndarray | None = None
        self.custom_classes = False

    @property
    def has_scale(self) -> bool:
        """Whether intensities are on the model's scale: 0 neutral, 1 typical."""
        return self.settings.intensity is not None

    def crop(self, pixels: np.ndarray, box: Box | None) -> np.ndarray:
        """Crop a face for the model: uint8 (S, S, 3); the whole image if there is no box."""
        return crop_face(pixels, box, self.model, self.settings)

    def set_neutral(self, crop: np.ndarray) -> None:
        """Measure intensities from this neutral face, given as `crop` returns it.

        Raises:
            ModelError: The model has a linear head.
        """
        intensities = self.model.network.score(np.stack([crop])).intensities
        if intensities is None:
            raise ModelError("a linear head has no text to measure intensity along")
        self.neutral = intensities.astype(np.float64)

    def classify(self, crops: Sequence[np.ndarray], *, alone: bool = True) -> Scores:
        """Score N crops, N ≥ 1, in any case with all threads, as they do not spin.

        Raises:
            ModelError: The model returns logits that are NaN or infinite.
        """
        starts = range(0, len(crops), self.batch_size)
        parts = [
            self.model.network.score(np.stack(crops[start : start + self.batch_size]))
            for start in starts
        ]

        # float64, so that the rows of a softmax sum to 1 in every table
        logits, intensities, familiarity = (
            None if column[0] is None else np.concatenate(column).astype(np.float64)
            for column in zip(*parts, strict=True)
        )
        assert logits is not None
        if not np.isfinite(logits).all():
            raise ModelError(
                "the model returns logits that are NaN or infinite",
                hint="Its weights are damaged, or training diverged.",
            )
        if self.model.calibration is not None:
            logits = self.model.calibration.apply(logits)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = powers / powers.sum(axis=1, keepdims=True)

        if intensities is not None:
            intensities = self._scale(intensities)
        return Scores(probabilities, intensities, familiarity)

    def _scale(self, raw: np.ndarray) -> np.ndarray:
        """(N, K) intensities on the model's scale if it has one."""
        # the projection is linear, so that of a neutral face is subtracted afterwards
        if self.neutral is not None:
            raw = raw - self.neutral
        scale = self.settings.intensity
        if scale is None:
            return raw
        return scale.apply(raw, self.model.classes, neutral_photo=self.neutral is not None)
