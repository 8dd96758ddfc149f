"""One picture on its way through the recognizer: an image, or a frame of a video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ke2nt.predict.result import FaceResult

__all__ = ["Frame", "FrameResult"]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A decoded picture, or the reason why there is none.

    Attributes:
        source: The file as it was named, "camera 0", or "image 3".
        pixels: uint8 (H, W, 3) RGB, upright; None where it cannot be decoded.
        index: Number of the video frame, from 0; None for images.
        time: Seconds from the video's start; None for images and for frames that are unreadable.
        problem: Why it cannot be decoded.
    """

    source: str
    pixels: np.ndarray | None
    index: int | None = None
    time: float | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """A picture with its rows: one for each face, or one that says why there is none.

    Attributes:
        frame: The picture, pixels included.
        rows: At least one row.
    """

    frame: Frame
    rows: tuple[FaceResult, ...]
