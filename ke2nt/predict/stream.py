"""All files, folders and cameras of a job as one stream of results, with totals."""

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

_MAX_UNREADABLE = 20


@dataclass(slots=True)
class Totals:
    """Counts of a job so far.

    Attributes:
        sources: Number of images, videos and cameras.
        frames: Images and video frames, including unreadable ones.
        read: Images and video frames that could be read.
        faces: Faces, including those with a withheld prediction.
        rows: Number of results of each status.
        labels: Number of faces of each predicted class.
        unreadable: The first twenty (name, reason).
    """

    sources: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    read: int = 0
    faces: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    unreadable: list[tuple[str, str]] = field(default_factory=list)

    def add(self, result: FrameResult) -> None:
        """Count an image or frame."""
        # a frame without pixels has one row, which says why
        self.frames += 1
        self.read += result.frame.pixels is not None

        for row in result.rows:
            self.rows[row.status] += 1
            self.faces += row.box is not None
            if row.label is not None:
                self.labels[row.label] += 1
            if row.status == "unreadable" and len(self.unreadable) < _MAX_UNREADABLE:
                name = row.source if row.frame is None else f"{row.source}, frame {row.frame}"
                self.unreadable.append((name, row.reason or "unknown"))

    def to_dict(self) -> dict[str, Any]:
        """Convert to a plain JSON value."""
        return {
            "sources": dict(self.sources),
            "pictures": self.frames,  # the key that scripts already read
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
    detect_every: int = 1,
) -> Iterator[tuple[str, FrameResult]]:
    """Recognize all files, folders, patterns and cameras, in order.

    Unreadable files do not stop the stream. A camera ends when the user interrupts it.

    Args:
        recognizer: The recognizer.
        names: See `expand_paths`.
        totals: Updated with every result.
        every: Use every n-th frame of a video.
        limit: Stop a video after this number of used frames.
        smoothing: Time constant in seconds, see `Tracker`.
        detect_every: Search every n-th used frame of a video for faces.

    Yields:
        "image", "video" or "camera", and the image or frame with its results.
    """
    # neighboring images share batches; each video is a separate stream
    for kind, sources in groupby(expand_paths(names), key=lambda pair: pair[0]):
        if kind == "image":
            images = (str(name) for _, name in sources)
            for result in recognizer.stream_images(images):
                totals.sources[kind] += 1
                totals.add(result)
                yield kind, result
            continue

        for _, source in sources:
            totals.sources[kind] += 1
            stream = recognizer.stream_video(
                source,
                every=every,
                limit=limit,
                smoothing=smoothing,
                detect_every=detect_every,
            )
            for result in _end_at_interrupt(stream) if kind == "camera" else stream:
                totals.add(result)
                yield kind, result


def _end_at_interrupt(stream: Iterator[FrameResult]) -> Iterator[FrameResult]:
    try:
        yield from stream
    except KeyboardInterrupt:
        return
