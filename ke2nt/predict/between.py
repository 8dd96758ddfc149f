"""Faces of the frames between two that were searched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from ke2nt.predict.detections import Detection
from ke2nt.predict.frames import Frame
from ke2nt.predict.tracking import match_boxes
from ke2nt.runtime.until_error import UntilError

__all__ = ["SearchedFrame", "fill_between", "plan_searches"]

_MIN_IOU = 0.1  # of a face in two searched frames, between which it may move far
_MAX_PIXELS = 32 * 1024 * 1024  # of frames that wait for the next search


class SearchedFrame(NamedTuple):
    """A frame and the faces in it.

    Attributes:
        frame: The frame.
        detections: What the detector found; None if the frame was not searched.
    """

    frame: Frame
    detections: list[Detection] | None


def plan_searches(frames: Iterable[Frame], every: int) -> Iterator[tuple[Frame, bool]]:
    """Say of each frame of a video whether it is to be searched for faces.

    The first one is, and every n-th after it; frames that cannot be read do not count. Very large
    frames are searched more often, as all between two searches are kept in memory.
    """
    since, pixels = every, 0
    for frame in frames:
        if frame.pixels is None:
            yield frame, False
            continue

        size = frame.pixels.size // 3
        is_due = since >= every or pixels + size > _MAX_PIXELS
        since, pixels = (1, 0) if is_due else (since + 1, pixels + size)
        yield frame, is_due


def fill_between(
    searched: Iterable[SearchedFrame], search: Callable[[Frame], SearchedFrame]
) -> Iterator[SearchedFrame]:
    """Give the frames between two searches the faces that both have, at boxes between theirs.

    A face of one search is that of the other whose box it overlaps most, with an intersection over
    union of at least 0.1. Box, landmarks and score change linearly over time. A face that only one
    of the searches has appears from or up to that frame. The last frame is always searched, also
    the last one before an error.

    Args:
        searched: Frames of one video, in order; those that were not searched have no detections.
        search: Searches a frame, or says why it cannot be searched.
    """
    last = _Search(0.0, [])
    waiting: list[Frame] = []
    # frames that wait for the next search are not lost if it does not come
    searches = UntilError(searched)
    for found in searches:
        frame, detections = found
        if detections is None and (waiting or frame.pixels is not None):
            waiting.append(frame)
            continue
        if detections is not None:
            search_here = _Search(frame.time or 0.0, detections)
            yield from _fill(waiting, last, search_here)
            last, waiting = search_here, []
        yield found

    yield from _finish(waiting, last, search)
    searches.reraise()


class _Search(NamedTuple):
    """Time of a search in seconds, and what was found."""

    time: float
    detections: list[Detection]


def _finish(
    waiting: Sequence[Frame], last: _Search, search: Callable[[Frame], SearchedFrame]
) -> Iterator[SearchedFrame]:
    """The last frames, which no search follows."""
    readable = [index for index, frame in enumerate(waiting) if frame.pixels is not None]
    if readable:
        end = readable[-1]
        final = search(waiting[end])
        search_here = _Search(waiting[end].time or 0.0, final.detections or [])
        yield from _fill(waiting[:end], last, search_here)
        yield final
        waiting = waiting[end + 1 :]
    yield from (SearchedFrame(frame, None) for frame in waiting)


def _fill(frames: Sequence[Frame], before: _Search, after: _Search) -> Iterator[SearchedFrame]:
    """Faces of the frames between two searches."""
    first, second = before.detections, after.detections
    matches = match_boxes(
        [face.box for face in first], [face.box for face in second], min_iou=_MIN_IOU
    )
    seconds = after.time - before.time
    for frame in frames:
        if frame.pixels is None or frame.time is None:
            yield SearchedFrame(frame, None)
            continue

        # times of damaged files may not ascend
        share = (frame.time - before.time) / seconds if seconds > 0 else 0.5
        share = min(max(share, 0.0), 1.0)
        faces = [_blend(first[one], second[other], share) for one, other in matches.items()]
        yield SearchedFrame(frame, faces)


def _blend(first: Detection, second: Detection, share: float) -> Detection:
    """A face on its way from one detection (share 0) to another (share 1)."""
    landmarks = None
    if first.landmarks is not None and second.landmarks is not None:
        landmarks = tuple(
            (_mix(a[0], b[0], share), _mix(a[1], b[1], share))
            for a, b in zip(first.landmarks, second.landmarks, strict=False)
        )
    x0, y0, x1, y1 = (_mix(a, b, share) for a, b in zip(first.box, second.box, strict=True))
    return Detection((x0, y0, x1, y1), _mix(first.score, second.score, share), landmarks)


def _mix(first: float, second: float, share: float) -> float:
    return first + share * (second - first)
