"""Annotated copies of images and videos, and timelines of videos, as files in a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ke2nt.predict.annotate import annotate, annotate_frame
from ke2nt.predict.frames import FrameResult
from ke2nt.predict.pil_images import write_image
from ke2nt.predict.video_writer import VideoWriter
from ke2nt.runtime.atomic import write_bytes

if TYPE_CHECKING:
    from ke2nt.predict.timeline import Timeline

__all__ = ["AnnotationWriter"]


class AnnotationWriter:
    """Writes annotated files for a stream of results; a context manager that closes the last one.

    An image `a.jpg` becomes `a.annotated.jpg`, other image formats `a.annotated.png`, a video
    `a.annotated.mp4` with the timeline `a.timeline.png`. A number is added to a name already used.

    Args:
        classes: The label set.
        annotated: Folder for annotated images and videos; None to write none.
        timelines: Folder for timelines; None to write none.

    Attributes:
        written: Files written so far, in order.
    """

    def __init__(
        self, classes: Sequence[str], *, annotated: Path | None, timelines: Path | None
    ) -> None:
        self._classes = tuple(classes)
        self._annotated_folder = annotated
        self._timeline_folder = timelines
        self._used_paths: set[Path] = set()
        self.written: list[Path] = []

        # the video that is being written
        self._source: str | None = None
        self._index: int | None = None
        self._video: VideoWriter | None = None
        self._timeline: Timeline | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._close_video()

    def add(self, kind: str, result: FrameResult) -> None:
        """Add the next image or frame.

        Args:
            kind: "image", "video" or "camera".
            result: The image with its results.
        """
        if kind == "image":
            self._close_video()
            self._write_image(result)
        else:
            self._add_frame(result)

    def _write_image(self, result: FrameResult) -> None:
        frame = result.frame
        if self._annotated_folder is None or frame.pixels is None:
            return

        is_jpeg = Path(frame.source).suffix.lower() in (".jpg", ".jpeg")
        suffix = ".annotated.jpg" if is_jpeg else ".annotated.png"
        path = self._pick_path(self._annotated_folder, frame.source, suffix)
        write_image(path, annotate(frame.pixels, result.rows))
        self.written.append(path)

    def _add_frame(self, result: FrameResult) -> None:
        frame = result.frame
        # a video that is named twice in a row begins again
        before, self._index = self._index, frame.index
        again = frame.index is not None and before is not None and frame.index <= before
        if frame.source != self._source or again:
            self._close_video()
            # a file that cannot be read at all gets no video
            if frame.pixels is None:
                return
            self._open_video(frame.source)

        if self._timeline is not None:
            for row in result.rows:
                self._timeline.add(row)
        if self._video is not None and frame.pixels is not None and frame.time is not None:
            self._video.write(annotate_frame(frame.pixels, result.rows), frame.time)

    def _open_video(self, source: str) -> None:
        self._source = source
        if self._annotated_folder is not None:
            path = self._pick_path(self._annotated_folder, source, ".annotated.mp4")
            self._video = VideoWriter(path)
        if self._timeline_folder is not None:
            from ke2nt.predict.timeline import Timeline  # slow to import: matplotlib

            self._timeline = Timeline(self._classes)

    def _close_video(self) -> None:
        """Finish the files of the current video."""
        # cleared first, so that nothing is written twice after an error
        source, self._source = self._source, None
        video, self._video = self._video, None
        timeline, self._timeline = self._timeline, None

        try:
            if video is not None:
                video.close()
                self.written.append(video.path)
        finally:
            if timeline is not None and source is not None:
                self._write_timeline(timeline, source)

    def _write_timeline(self, timeline: Timeline, source: str) -> None:
        from ke2nt.plots.timeline import plot_timeline

        assert self._timeline_folder is not None
        figure = plot_timeline(
            timeline.tracks(),
            timeline.classes,
            seconds=timeline.seconds,
            title=Path(source).name,
        )
        path = self._pick_path(self._timeline_folder, source, ".timeline.png")
        write_bytes(path, figure)
        self.written.append(path)

    def _pick_path(self, folder: Path, source: str, suffix: str) -> Path:
        """Return a path for a file made from a source that this writer has not used yet."""
        # bytes of a name that are not UTF-8 are printed as escapes, which are no name for a file
        stem = re.sub(r"\\udc[0-9a-f]{2}", "_", Path(source).stem)
        path = folder / f"{stem}{suffix}"
        number = 2
        while path in self._used_paths:
            path = folder / f"{stem}-{number}{suffix}"
            number += 1

        self._used_paths.add(path)
        return path
