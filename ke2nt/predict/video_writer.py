"""Video files from frames, through PyAV."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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

        Raises:
            OSError: It cannot be written.
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
        with self._errors_name_the_file():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file; if no frame was written, no file is created.

        Raises:
            OSError: It cannot be written to its end; nothing of it is left.
        """
        if self._container is None:
            return
        container, self._container = self._container, None
        with self._errors_name_the_file():
            try:
                # the encoder still holds some frames
                container.mux(self._stream.encode())
                container.close()
                os.replace(self._partial_path, self.path)
            finally:
                self._partial_path.unlink(missing_ok=True)

    @contextmanager
    def _errors_name_the_file(self) -> Iterator[None]:
        """Name the file in errors of the disk, not the hidden one that is being written."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def _open(self, width: int, height: int) -> None:
        # which codecs exist depends on how FFmpeg was built
        codec = next(name for name in _CODECS if name in self._av.codecs_available)
        self._container = self._av.open(str(self._partial_path), "w", format="mp4")

        # yuv420p is what every player shows
        stream = self._container.add_stream(codec, rate=_FRAME_RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        self._stream = stream
