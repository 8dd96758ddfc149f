"""Frames of a camera, through OpenCV."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ke2nt.errors import DataError
from ke2nt.predict.frames import Frame
from ke2nt.runtime.optional import import_optional

__all__ = ["camera_frames"]

_MAX_FAILURES = 30


def camera_frames(index: int) -> Iterator[Frame]:
    """Read frames from a camera until it stops delivering any.

    Args:
        index: 0 for the first camera.

    Raises:
        DataError: The camera cannot be opened.
        MissingExtraError: OpenCV is not installed.
    """
    cv2: Any = import_optional("cv2", extra="predict", purpose="cameras")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

    camera = cv2.VideoCapture(index)
    if not camera.isOpened():
        raise DataError(f"camera {index} cannot be opened", hint="The first camera is number 0.")
    return _read_frames(camera, f"camera {index}")


def _read_frames(camera: Any, source: str) -> Iterator[Frame]:
    start = time.monotonic()
    number = 0
    failures = 0  # in a row
    try:
        # single frames get lost often; a camera that was unplugged loses all of them
        while failures < _MAX_FAILURES:
            success, image = camera.read()

            if success:
                failures = 0
                pixels = np.ascontiguousarray(image[:, :, ::-1])  # BGR to RGB
                yield Frame(source, pixels, number, time.monotonic() - start)
            else:
                failures += 1
                yield Frame(source, None, number, problem="the camera returned no frame")
            number += 1
    finally:
        camera.release()
