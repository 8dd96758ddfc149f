"""Annotated copies of images and videos, and timelines of videos, as files in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ke2nt.predict.annotate import annotate, write_picture
from ke2nt.predict.frames import FrameResult
from ke2nt.predict.video import VideoWriter
from ke2nt.runtime.atomic import write_bytes

if TYPE_CHECKING:
    from ke2nt.predict.timeline import Timeline

__all__ = ["AnnotationWriter"]


class AnnotationWriter:
    """Writes what a stream of results shows; a context manager that finishes the last file.

    An image `a.jpg` becomes `a.annotated.jpg`, other kinds of image `a.annotated.png`, a video
    `a.annotated.mp4`, and its timeline `a.timeline.png`. A name that is taken gets a number.

    Args:
        classes: The label set.
        annotated: Folder for annotated images and videos, or None for none.
        timelines: Folder for timelines, or None for none.
    """

    def __init__(
        self, classes: Sequence[str], *, annotated: Path | None, timelines: Path | None
    ) -> None:
        self._classes = tuple(classes)
        self._annotated = annotated
        self._timelines = timelines
        self._names: set[Path] = set()
        self._source: str | None = None
        self._video: VideoWriter | None = None
        self._timeline: Timeline | None = None
        self.written: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._finish()

    def add(self, kind: str, result: FrameResult) -> None:
        """Take in the next picture; kind is "image", "video" or "camera"."""
        frame = result.frame
        if kind == "image":
            self._finish()
            if self._annotated is not None and frame.pixels is not None:
                jpeg = Path(frame.source).suffix.lower() in (".jpg", ".jpeg")
                path = self._free(
                    self._annotated, frame.source, ".annotated.jpg" if jpeg else ".annotated.png"
                )
                write_picture(path, annotate(frame.pixels, result.rows))
                self.written += 1
            return
        if frame.source != self._source:
            self._finish()
            if frame.pixels is None:
                return
            self._start(frame.source)
        if self._timeline is not None:
            for row in result.rows:
                self._timeline.add(row)
        if self._video is not None and frame.pixels is not None and frame.time is not None:
            self._video.write(annotate(frame.pixels, result.rows), frame.time)

    def _start(self, source: str) -> None:
        self._source = source
        if self._annotated is not None:
            self._video = VideoWriter(self._free(self._annotated, source, ".annotated.mp4"))
        if self._timelines is not None:
            from ke2nt.predict.timeline import Timeline

            self._timeline = Timeline(self._classes)

    def _finish(self) -> None:
        """Close the files of the current video."""
        source, self._source = self._source, None
        video, self._video = self._video, None
        timeline, self._timeline = self._timeline, None
        if video is not None:
            video.close()
            self.written += 1
        if timeline is not None and source is not None and self._timelines is not None:
            from ke2nt.plots.timeline import plot_timeline

            picture = plot_timeline(
                timeline.tracks(),
                timeline.classes,
                seconds=timeline.seconds,
                title=Path(source).name,
            )
            write_bytes(self._free(self._timelines, source, ".timeline.png"), picture)
            self.written += 1

    def _free(self, folder: Path, source: str, suffix: str) -> Path:
        """A path for what is made of a source, unlike any other of this writer."""
        stem = Path(source).stem
        path, number = folder / f"{stem}{suffix}", 2
        while path in self._names:
            path, number = folder / f"{stem}-{number}{suffix}", number + 1
        self._names.add(path)
        return path
