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

_MOST_FAILURES = 30


def camera_frames(index: int) -> Iterator[Frame]:
    """Frames as the camera gives them, until it stops giving any.

    Args:
        index: 0 for the first camera.

    Raises:
        DataError: The camera cannot be opened.
        MissingExtraError: OpenCV is not installed.
    """
    library: Any = import_optional("cv2", extra="predict", purpose="cameras")
    library.utils.logging.setLogLevel(library.utils.logging.LOG_LEVEL_SILENT)
    camera = library.VideoCapture(index)
    if not camera.isOpened():
        raise DataError(f"camera {index} cannot be opened", hint="The first camera is number 0.")
    return _frames(camera, f"camera {index}")


def _frames(camera: Any, source: str) -> Iterator[Frame]:
    started = time.monotonic()
    number = failures = 0
    try:
        while failures < _MOST_FAILURES:
            got, picture = camera.read()
            if got:
                failures = 0
                pixels = np.ascontiguousarray(picture[:, :, ::-1])
                yield Frame(source, pixels, number, time.monotonic() - started)
            else:
                failures += 1
                yield Frame(source, None, number, problem="the camera gave no frame")
            number += 1
    finally:
        camera.release()
