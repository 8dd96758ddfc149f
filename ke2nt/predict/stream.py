"""Everything that was named, pictures and videos alike, as one stream with its totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from ke2nt.predict.frames import FrameResult
from ke2nt.predict.paths import expand_paths
from ke2nt.predict.recognizer import Recognizer

__all__ = ["Totals", "predict_paths"]

_MOST_NAMED = 20


@dataclass(slots=True)
class Totals:
    """What a job has met so far.

    Attributes:
        sources: Images, videos and cameras.
        pictures: Images and video frames, unreadable ones included.
        read: Those that could be read.
        faces: Faces, withheld answers included.
        rows: Rows of each status.
        labels: Answers of each class.
        unreadable: The first twenty (name, reason).
    """

    sources: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    read: int = 0
    faces: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    unreadable: list[tuple[str, str]] = field(default_factory=list)

    def add(self, result: FrameResult) -> None:
        """Count a picture."""
        self.pictures += 1
        self.read += result.frame.pixels is not None
        for row in result.rows:
            self.rows[row.status] += 1
            self.faces += row.box is not None
            if row.label is not None:
                self.labels[row.label] += 1
            if row.status == "unreadable" and len(self.unreadable) < _MOST_NAMED:
                name = row.source if row.frame is None else f"{row.source}, frame {row.frame}"
                self.unreadable.append((name, row.reason or "unknown"))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            "sources": dict(self.sources),
            "pictures": self.pictures,
            "faces": self.faces,
            "rows": dict(self.rows),
            "labels": dict(self.labels),
            "unreadable": [list(pair) for pair in self.unreadable],
        }


def predict_paths(
    recognizer: Recognizer,
    names: Iterable[str],
    totals: Totals,
    *,
    every: int = 1,
    limit: int | None = None,
    smoothing: float = 0.5,
) -> Iterator[tuple[str, FrameResult]]:
    """Recognize all files, folders, patterns and cameras, in order; nothing but the user stops it.

    A camera ends when the user interrupts it.

    Args:
        recognizer: The recognizer.
        names: See `expand_paths`.
        totals: Counted as the stream goes on.
        every: Take one frame of so many of a video.
        limit: Stop a video after so many frames that were taken.
        smoothing: Time constant in seconds, see `Tracker`.

    Yields:
        "image", "video" or "camera", and the picture with its rows.
    """
    for kind, group in groupby(expand_paths(names), key=lambda pair: pair[0]):
        if kind == "image":
            images = (str(name) for _, name in group)
            for result in recognizer.stream_images(images):
                totals.sources[kind] += 1
                totals.add(result)
                yield kind, result
            continue
        for _, source in group:
            totals.sources[kind] += 1
            stream = recognizer.stream_video(source, every=every, limit=limit, smoothing=smoothing)
            for result in _until_interrupted(stream) if kind == "camera" else stream:
                totals.add(result)
                yield kind, result


def _until_interrupted(stream: Iterator[FrameResult]) -> Iterator[FrameResult]:
    try:
        yield from stream
    except KeyboardInterrupt:
        return
