"""Scores of faces, and what gives them: a model in any engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ke2nt.predict.detections import Box
from ke2nt.predict.face_settings import FaceSettings

if TYPE_CHECKING:
    from ke2nt.models.calibration import Calibration

__all__ = ["Classifier", "RecognitionModel", "Scores"]


class Scores(NamedTuple):
    """Scores of N faces.

    Attributes:
        probabilities: float64 (N, K), rows sum to 1, calibrated if the model is.
        intensities: float64 (N, K), see `ke2nt.predict.intensity`; None with a linear head.
        familiarity: float64 (N, 2) face scores and distances, see `Familiarity`; None if the model
            has none.
    """

    probabilities: np.ndarray
    intensities: np.ndarray | None
    familiarity: np.ndarray | None = None

    def slice(self, start: int, stop: int) -> Scores:
        """Select the scores of faces start to stop."""
        rows = slice(start, stop)
        return Scores._make(None if values is None else values[rows] for values in self)

    def to_matrix(self) -> np.ndarray:
        """Join probabilities and intensities: (N, K) without intensities, else (N, 2 K)."""
        if self.intensities is None:
            return self.probabilities
        return np.concatenate([self.probabilities, self.intensities], axis=1)

    @classmethod
    def from_matrix(cls, matrix: np.ndarray, num_classes: int) -> Scores:
        """Split the result of `to_matrix`."""
        has_intensities = matrix.shape[1] > num_classes
        return cls(matrix[:, :num_classes], matrix[:, num_classes:] if has_intensities else None)


class RecognitionModel(Protocol):
    """What prediction reads of a model."""

    calibration: Calibration | None
    card: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in index order."""


class Classifier(Protocol):
    """A model with everything that its crops need.

    Attributes:
        settings: How the model expects faces to be cropped.
        batch_size: Faces per forward pass.
        neutral: What intensities are measured from, or None for the median neutral face.
        custom_classes: Whether the classes are not those the model was trained with.
    """

    settings: FaceSettings
    batch_size: int
    neutral: Any
    custom_classes: bool

    @property
    def model(self) -> Any:
        """The model, see `RecognitionModel`."""

    @property
    def has_scale(self) -> bool:
        """Whether intensities are on the model's scale: 0 neutral, 1 typical."""

    def crop(self, pixels: np.ndarray, box: Box | None) -> np.ndarray:
        """Crop a face for the model: uint8 (S, S, 3); the whole image if there is no box."""

    def set_neutral(self, crop: np.ndarray) -> None:
        """Measure intensities from this neutral face."""

    def classify(self, crops: Sequence[np.ndarray], *, alone: bool = True) -> Scores:
        """Score N crops, N ≥ 1; `alone` says whether no other thread computes meanwhile."""
