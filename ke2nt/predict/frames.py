"""A decoded image or video frame, alone and with its results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ke2nt.predict.result import FaceResult

__all__ = ["Frame", "FrameResult"]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A decoded image or video frame, or the reason why it cannot be decoded.

    Attributes:
        source: The file as it was named, "camera 0", or "image 3".
        pixels: uint8 (H, W, 3) RGB, upright; None if it cannot be decoded.
        index: Number of the video frame, from 0; None for images.
        time: Seconds from the start of the video; None for images and unreadable frames.
        problem: Why it cannot be decoded.
    """

    source: str
    pixels: np.ndarray | None
    index: int | None = None
    time: float | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """A frame with its results: one for each face, or one that says why there is no face.

    Attributes:
        frame: The frame with its pixels.
        rows: At least one result.
    """

    frame: Frame
    rows: tuple[FaceResult, ...]
