"""Video files from frames, through PyAV."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ke2nt.predict.pil_images import resize
from ke2nt.runtime.optional import import_optional

__all__ = ["VideoWriter"]

_CODECS = ("libx264", "libopenh264", "mpeg4")  # in order of preference
_TICKS = 1000  # per second; fine enough to keep the time of each frame
_FRAME_RATE = 30  # nominal; players use the times


class VideoWriter:
    """An MP4 file from a stream of frames; it appears under its name when it is closed.

    Args:
        path: Where to write.

    Attributes:
        path: The file.

    Raises:
        MissingExtraError: PyAV is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._av: Any = import_optional("av", extra="predict", purpose="writing videos")
        self.path = path
        self._partial_path = path.with_name(f".{path.stem}.part{path.suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)

        # opened at the first frame, which sets the size
        self._container: Any = None
        self._stream: Any = None
        self._last_tick = -1

    def write(self, pixels: np.ndarray, time: float) -> None:
        """Add a frame.

        Args:
            pixels: uint8 (H, W, 3) RGB; resized if its size differs from the first frame.
            time: Seconds from the start of the video.
        """
        # the pixel format needs even sides
        if self._container is None:
            self._open(pixels.shape[1] // 2 * 2 or 2, pixels.shape[0] // 2 * 2 or 2)
        size = (self._stream.width, self._stream.height)
        if pixels.shape[1::-1] != size:
            pixels = resize(pixels, *size)

        # times must increase
        tick = max(self._last_tick + 1, round(time * _TICKS))
        self._last_tick = tick

        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts = tick
        frame.time_base = Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file; if no frame was written, no file is created."""
        if self._container is None:
            return

        # the encoder still holds some frames
        self._container.mux(self._stream.encode())
        self._container.close()
        self._container = None
        os.replace(self._partial_path, self.path)

    def _open(self, width: int, height: int) -> None:
        # which codecs exist depends on how FFmpeg was built
        codec = next(name for name in _CODECS if name in self._av.codecs_available)
        self._container = self._av.open(str(self._partial_path), "w", format="mp4")

        # yuv420p is what every player shows
        stream = self._container.add_stream(codec, rate=_FRAME_RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        self._stream = stream
