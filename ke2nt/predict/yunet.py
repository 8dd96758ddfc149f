"""OpenCV's YuNet with a model file of the user's."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ke2nt.errors import CheckpointError
from ke2nt.predict.detections import Detection
from ke2nt.predict.pyramid import detect_at_sides
from ke2nt.runtime.optional import import_optional

__all__ = ["SIDES", "YuNetDetector"]

SIDES = (320, 640, 1280)


class YuNetDetector:
    """Face boxes with five landmarks: eyes, tip of the nose, corners of the mouth.

    Args:
        model: `face_detection_yunet_*.onnx` of OpenCV's model zoo.
        min_score: Faces below it are left out, in [0, 1].
        sides: Long sides, in pixels, to which a picture is resized; see `detect_at_sides`.

    Raises:
        CheckpointError: The file is absent, or is no such model.
        MissingExtraError: OpenCV is not installed.
    """

    def __init__(
        self, model: Path, *, min_score: float = 0.6, sides: Sequence[int] = SIDES
    ) -> None:
        library: Any = import_optional("cv2", extra="predict", purpose="the detector YuNet")
        if not model.is_file():
            raise CheckpointError("no model of the detector YuNet", where=model)
        try:
            self._net = library.FaceDetectorYN.create(str(model), "", (320, 320), min_score)
            self._net.detect(np.zeros((320, 320, 3), np.uint8))
        except (library.error, TypeError) as error:
            raise CheckpointError(
                "the detector's model cannot be used",
                expected="face_detection_yunet_*.onnx of OpenCV's model zoo",
                found=str(error).strip().splitlines()[0],
                where=model,
            ) from error
        self._sides = tuple(sides)
        self._one_at_a_time = threading.Lock()

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Faces of an upright uint8 (H, W, 3) RGB image, best first."""
        return detect_at_sides(image, self._sides, self._detect)

    def _detect(self, picture: np.ndarray) -> list[Detection]:
        with self._one_at_a_time:
            self._net.setInputSize((picture.shape[1], picture.shape[0]))
            _, faces = self._net.detect(np.ascontiguousarray(picture[:, :, ::-1]))
        return [_detection(row) for row in (() if faces is None else faces)]


def _detection(row: np.ndarray) -> Detection:
    """x, y, width, height, five points, score."""
    x, y, width, height = (float(v) for v in row[:4])
    points = tuple((float(px), float(py)) for px, py in row[4:14].reshape(5, 2))
    return Detection((x, y, x + width, y + height), min(max(float(row[14]), 0.0), 1.0), points)
