"""OpenCV's face detector YuNet, with a model file of the user."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ke2nt.errors import CheckpointError
from ke2nt.predict.detections import Detection
from ke2nt.predict.pyramid import detect_at_sides
from ke2nt.runtime.file_content import check_content
from ke2nt.runtime.formatting import first_line
from ke2nt.runtime.optional import import_optional

__all__ = ["SIDES", "YuNetDetector"]

SIDES = (320, 640, 1280)


class YuNetDetector:
    """Face boxes with five landmarks: eyes, tip of the nose, corners of the mouth.

    Args:
        model: `face_detection_yunet_*.onnx` of OpenCV's model zoo.
        min_score: Faces with a lower score are dropped, in [0, 1].
        sides: Long sides, in pixels, to which an image is resized; see `detect_at_sides`.

    Raises:
        CheckpointError: The file is missing, or is not a YuNet model.
        MissingExtraError: OpenCV is not installed.
    """

    def __init__(
        self, model: Path, *, min_score: float = 0.6, sides: Sequence[int] = SIDES
    ) -> None:
        cv2: Any = import_optional("cv2", extra="predict", purpose="the detector YuNet")
        if not model.is_file():
            raise CheckpointError(
                "no model file for the detector YuNet",
                where=model,
                hint="Download face_detection_yunet_*.onnx from OpenCV's model zoo.",
            )

        check_content(model)
        # OpenCV loads any ONNX file; only a first image shows whether it is a YuNet model
        try:
            self._net = cv2.FaceDetectorYN.create(str(model), "", (320, 320), min_score)
            self._net.detect(np.zeros((320, 320, 3), np.uint8))
        except (cv2.error, TypeError) as error:
            raise CheckpointError(
                "the model file of the detector cannot be used",
                expected="face_detection_yunet_*.onnx of OpenCV's model zoo",
                found=first_line(error),
                where=model,
            ) from error

        self._sides = tuple(sides)
        self._lock = threading.Lock()

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Find the faces of an upright uint8 (H, W, 3) RGB image, best first."""
        return detect_at_sides(image, self._sides, self._detect_at_one_size)

    def _detect_at_one_size(self, image: np.ndarray) -> list[Detection]:
        bgr = np.ascontiguousarray(image[:, :, ::-1])
        with self._lock:
            self._net.setInputSize((image.shape[1], image.shape[0]))
            _, rows = self._net.detect(bgr)
        return [] if rows is None else [_read_row(row) for row in rows]


def _read_row(row: np.ndarray) -> Detection:
    """Read a row of OpenCV: x, y, width, height, five points, score."""
    x, y, width, height = (float(value) for value in row[:4])
    landmarks = tuple((float(px), float(py)) for px, py in row[4:14].reshape(5, 2))
    score = min(max(float(row[14]), 0.0), 1.0)
    return Detection((x, y, x + width, y + height), score, landmarks)
