"""Single frames of video files, as samples of datasets that are published as videos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ke2nt.errors import ImageReadError
from ke2nt.runtime.optional import import_optional

__all__ = ["VideoFrame"]


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One frame of a video file.

    Attributes:
        path: The video file.
        position: Index of the frame, from 0, or where it lies as a share of the video (a float: 0.0
            is the first frame and 1.0 the last).
    """

    path: Path
    position: int | float

    def read(self) -> np.ndarray:
        """The pixels, uint8 (H, W, 3) RGB.

        Raises:
            ImageReadError: The file cannot be read, or has no such frame.
            MissingExtraError: PyAV is not installed.
        """
        av: Any = import_optional("av", extra="predict", purpose="reading videos")
        try:
            index = self.position
            if isinstance(index, float):
                index = round(index * (self._count_frames(av) - 1))
            with av.open(str(self.path)) as container:
                for i, frame in enumerate(container.decode(video=0)):
                    if i == index:
                        pixels: np.ndarray = frame.to_ndarray(format="rgb24")
                        return pixels
        except (av.FFmpegError, OSError, IndexError, ValueError) as error:
            raise ImageReadError("a video cannot be read", where=self.path, found=error) from error
        raise ImageReadError("the video has no such frame", where=self.path, found=self.position)

    def _count_frames(self, av: Any) -> int:
        """Number of frames, counted without decoding, as headers may be wrong."""
        with av.open(str(self.path)) as container:
            return sum(packet.size > 0 for packet in container.demux(video=0))
