"""Frames of a video file, and video files from frames. The only file that imports PyAV."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ke2nt.errors import ConfigError
from ke2nt.predict.annotate import resize
from ke2nt.predict.camera import camera_frames
from ke2nt.predict.frames import Frame
from ke2nt.runtime.optional import import_optional

__all__ = ["VideoWriter", "is_video_name", "video_frames"]

_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".flv"),
    *(".ogv", ".3gp", ".ts", ".mts", ".m2ts"),
)
_CODECS = ("libx264", "libopenh264", "mpeg4")
_TICKS = 1000  # a second; the written video keeps the time of each frame


def is_video_name(path: str | Path) -> bool:
    """Whether a file name looks like a video's; hidden files do not."""
    path = Path(path)
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")


def video_frames(
    source: str | Path | int, *, every: int = 1, limit: int | None = None
) -> Iterator[Frame]:
    """Decode a video or camera frame by frame; what cannot be decoded becomes a problem.

    A damaged part of the file is one frame with a problem; the frames after it follow.

    Args:
        source: A video file, or the index of a camera.
        every: Take one frame of so many.
        limit: Stop after so many frames that were taken.

    Raises:
        ConfigError: A number is out of range.
        DataError: The camera cannot be opened.
        MissingExtraError: The package that reads it is not installed.
    """
    if every < 1 or (limit is not None and limit < 1):
        raise ConfigError("every and limit start at 1", found=(every, limit))
    if isinstance(source, int):
        return _taken(camera_frames(source), every, limit)
    library: Any = import_optional("av", extra="predict", purpose="reading videos")
    return _taken(_file_frames(library, str(source), every), 1, limit)


def _taken(frames: Iterator[Frame], every: int, limit: int | None) -> Iterator[Frame]:
    taken = 0
    for frame in frames:
        if frame.index is None or frame.index % every == 0:
            yield frame
            taken += 1
        if taken == limit:
            return


def _file_frames(library: Any, source: str, every: int) -> Iterator[Frame]:
    try:
        container = library.open(source)
    except (library.FFmpegError, OSError) as error:
        yield Frame(source, None, problem=_reason(error))
        return
    with container:
        if not container.streams.video:
            yield Frame(source, None, problem="no video in the file")
            return
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        index = 0
        for frame in _decoded(library, container, stream):
            if isinstance(frame, str):
                yield Frame(source, None, index, problem=frame)
            elif frame.is_corrupt:
                yield Frame(source, None, index, problem="the frame is damaged")
            elif index % every == 0:
                yield Frame(source, _pixels(frame), index, _time(frame, stream, index))
            index += 1
        if index == 0:
            yield Frame(source, None, problem="no frame in the file")


def _decoded(library: Any, container: Any, stream: Any) -> Iterator[Any]:
    """Frames, and a reason for each part that cannot be decoded."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except library.FFmpegError as error:
            yield f"the file breaks off: {_reason(error)}"
            return
        try:
            yield from packet.decode()
        except library.EOFError:
            return
        except library.FFmpegError as error:
            yield _reason(error)


def _pixels(frame: Any) -> np.ndarray:
    """Upright RGB; `rotation` is how far a player turns the frame counter-clockwise."""
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def _time(frame: Any, stream: Any, index: int) -> float:
    if frame.time is None:
        return index / float(stream.average_rate or 25)
    return max(0.0, frame.time - float((stream.start_time or 0) * stream.time_base))


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class VideoWriter:
    """An MP4 file from frames as they come; it appears under its name when it is closed.

    Args:
        path: Where to write.

    Raises:
        MissingExtraError: PyAV is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._library: Any = import_optional("av", extra="predict", purpose="writing videos")
        self._path = path
        self._aside = path.with_name(f".{path.stem}.part{path.suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container: Any = None
        self._stream: Any = None
        self._last = -1

    def write(self, pixels: np.ndarray, time: float) -> None:
        """Add a frame: uint8 (H, W, 3) RGB, and its time in seconds."""
        if self._container is None:
            self._open(pixels.shape[1] // 2 * 2 or 2, pixels.shape[0] // 2 * 2 or 2)
        size = (self._stream.width, self._stream.height)
        if pixels.shape[1::-1] != size:
            pixels = resize(pixels, *size)
        frame = self._library.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        self._last = frame.pts = max(self._last + 1, round(time * _TICKS))
        frame.time_base = Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file; without any frame there is none."""
        if self._container is None:
            return
        self._container.mux(self._stream.encode())
        self._container.close()
        self._container = None
        os.replace(self._aside, self._path)

    def _open(self, width: int, height: int) -> None:
        codec = next(name for name in _CODECS if name in self._library.codecs_available)
        self._container = self._library.open(str(self._aside), "w", format="mp4")
        stream = self._container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, _TICKS)
        self._stream = stream
