"""What a face detector gives, and the one method that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

__all__ = ["Box", "Detection", "Detector", "ThreadedDetector"]

Box: TypeAlias = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels, x to the right, y down."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One face found by a detector.

    Attributes:
        box: (x0, y0, x1, y1) in pixels; it may extend beyond the image border.
        score: Score of the detector in [0, 1].
        landmarks: (x, y) points in pixels, or None if the detector has no landmarks.
    """

    box: Box
    score: float
    landmarks: tuple[tuple[float, float], ...] | None = None

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@runtime_checkable
class Detector(Protocol):
    """Interface of a face detector: this method is all that a new one needs."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Find the faces of an upright uint8 (H, W, 3) RGB image.

        Returns:
            Detections in any order; an empty list if there is no face.

        Raises:
            DataError: The detector fails on this image; its row says so, and the others follow.
        """


@runtime_checkable
class ThreadedDetector(Detector, Protocol):
    """A detector that can search several images at the same time."""

    def for_threads(self) -> Detector:
        """Return a detector whose `detect` several threads call at a time, each for one core."""
