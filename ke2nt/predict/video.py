"""Frames of a video file or camera, decoded by PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ke2nt.errors import ConfigError
from ke2nt.predict.camera import camera_frames
from ke2nt.predict.frames import Frame
from ke2nt.runtime.file_content import foreign_content
from ke2nt.runtime.formatting import printable
from ke2nt.runtime.optional import import_optional

__all__ = ["is_video_name", "video_frames"]

_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".flv"),
    *(".ogv", ".3gp", ".ts", ".mts", ".m2ts"),
)
_LENGTH_TOLERANCE = 1.0  # seconds by which a header's length may be wrong
_LENGTH_SHARE = 0.02  # likewise, as a share of the length
_MICROSECONDS = 1_000_000  # FFmpeg's unit of a file's length
_DEFAULT_FPS = 25  # of a file that records neither times nor a frame rate


def is_video_name(path: str | Path) -> bool:
    """Check whether a file name looks like a video; hidden files do not."""
    path = Path(path)
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")


def video_frames(
    source: str | Path | int, *, every: int = 1, limit: int | None = None
) -> Iterator[Frame]:
    """Decode a video or camera frame by frame.

    A damaged part of the file becomes one frame with a problem; the frames after it follow.

    Args:
        source: A video file, or the index of a camera.
        every: Use every n-th frame.
        limit: Stop after this number of used frames.

    Raises:
        ConfigError: A number is out of range.
        DataError: The camera cannot be opened.
        MissingExtraError: The package that reads the source is not installed.
    """
    if every < 1 or (limit is not None and limit < 1):
        raise ConfigError("every and limit must be positive", found=f"every {every}, limit {limit}")

    if isinstance(source, int):
        return _select(camera_frames(source), every, limit)

    # frames that are not used are not converted to RGB, so the selection happens in there
    av: Any = import_optional("av", extra="predict", purpose="reading videos")
    return _select(_read_file(av, str(source), every), 1, limit)


def _select(frames: Iterator[Frame], every: int, limit: int | None) -> Iterator[Frame]:
    """Every n-th frame, up to a limit."""
    num_used = 0
    for frame in frames:
        if frame.index is None or frame.index % every == 0:
            yield frame
            num_used += 1
        if num_used == limit:
            return


def _read_file(av: Any, path: str, every: int) -> Iterator[Frame]:
    # FFmpeg opens names that are UTF-8; any other file is opened here
    source = printable(path)
    with ExitStack() as open_files:
        try:
            file = path if source == path else open_files.enter_context(open(path, "rb"))
            container = open_files.enter_context(av.open(file))
        except (av.FFmpegError, OSError) as error:
            yield Frame(source, None, problem=_describe_unopened(Path(path), error))
            return

        # sound alone, for example
        if not container.streams.video:
            yield Frame(source, None, problem="the file has no video")
            return
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"

        # damaged frames count too, so that indices match the file
        index, readable, end = 0, 0, 0.0
        for frame in _decode(av, container, stream):
            if isinstance(frame, str):
                yield Frame(source, None, index, problem=frame)
            elif frame.is_corrupt:
                yield Frame(source, None, index, problem="the frame is damaged")
            else:
                end, readable = _get_time(frame, stream, index), readable + 1
                if index % every == 0:
                    yield Frame(source, _get_pixels(frame), index, end)
            index += 1

        problem = _describe_end(container, stream, index, readable, end)
        if problem is not None:
            yield Frame(source, None, index or None, problem=problem)


def _describe_end(container: Any, stream: Any, count: int, readable: int, end: float) -> str | None:
    """Why a video that is read to its end is not complete, or None.

    Args:
        container: The open file.
        stream: Its video.
        count: Number of frames, damaged ones included.
        readable: Number of frames without damage.
        end: Time of the last of them in seconds.
    """
    # a file that counts its frames knows its length well, any other only roughly
    seconds = _promised_seconds(container, stream)
    if count == 0:
        promised = f": its header promises {seconds:.1f} s" if seconds else ""
        return f"the video has no frames{promised}"
    frame_seconds = 1 / float(stream.average_rate or _DEFAULT_FPS)
    tolerance = 1.5 * frame_seconds
    if not stream.frames:
        tolerance = max(_LENGTH_TOLERANCE, _LENGTH_SHARE * (seconds or 0))

    # frames alone prove nothing: some formats count frames that are only shown for longer
    is_short = seconds is not None and seconds - (end + frame_seconds) > tolerance
    if not is_short or (stream.frames and count >= stream.frames):
        return None
    promised = f"{stream.frames:,} frames" if stream.frames else f"{seconds:.1f} s"
    return (
        f"the file ends early: its header promises {promised}, {readable:,} frames up to "
        f"{end:.2f} s could be read"
    )


def _promised_seconds(container: Any, stream: Any) -> float | None:
    """Length of the video by the header, if it states one."""
    if stream.duration is not None:
        # FFmpeg shortens the length of a cut AVI file, but not its number of frames
        counted = stream.frames / float(stream.average_rate or _DEFAULT_FPS)
        return max(float(stream.duration * stream.time_base), counted)
    # the length of the whole file may be that of the sound
    if container.duration is not None and len(container.streams) == 1:
        return float(container.duration) / _MICROSECONDS
    return None


def _decode(av: Any, container: Any, stream: Any) -> Iterator[Any]:
    """PyAV frames, and a reason (str) for each part that cannot be decoded."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError as error:
            # without the next packet there is nothing more to decode
            yield f"the file is cut off: {_describe(error)}"
            return

        # a damaged packet does not stop the others
        try:
            yield from packet.decode()
        except av.EOFError:
            return
        except av.FFmpegError as error:
            yield _describe(error)


def _get_pixels(frame: Any) -> np.ndarray:
    """Upright RGB; `rotation` is the counter-clockwise angle by which players rotate the frame."""
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarter_turns))


def _get_time(frame: Any, stream: Any, index: int) -> float:
    """Seconds from the start of the video."""
    if frame.time is None:
        return index / float(stream.average_rate or _DEFAULT_FPS)
    return max(0.0, frame.time - float((stream.start_time or 0) * stream.time_base))


def _describe_unopened(path: Path, error: Exception) -> str:
    """Why a file cannot be opened: what it is in place of a video, or what FFmpeg says."""
    if not path.is_file():
        return _describe(error)
    answer = foreign_content(path)
    if answer is not None:
        return f"{answer[0]}. {answer[1]}"

    # MP4 and MOV may have the index of their frames at the end
    with path.open("rb") as file:
        is_mp4 = file.read(8)[4:] == b"ftyp"
    if is_mp4:
        return "the end of the file is missing, and with it the index of its frames. Copy it again."
    return f"{_describe(error)}: no video that FFmpeg reads"


def _describe(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
