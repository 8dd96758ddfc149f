"""Frames in, results out: decoded and searched ahead in threads, classified in batches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from ke2nt.errors import DataError
from ke2nt.predict.between import SearchedFrame, fill_between, plan_searches
from ke2nt.predict.detections import Detector, ThreadedDetector
from ke2nt.predict.found_faces import FoundFace, crop_faces, crop_whole
from ke2nt.predict.frames import Frame, FrameResult
from ke2nt.predict.result_builder import Limits, ResultBuilder
from ke2nt.predict.scores import Classifier
from ke2nt.predict.tracking import Tracker
from ke2nt.runtime.look_ahead import is_single, look_ahead
from ke2nt.runtime.until_error import UntilError

__all__ = ["Schedule", "recognize"]

_MAX_PIXELS = 32 * 1024 * 1024  # of frames that wait for a full batch, and of those ahead of them
_AHEAD = 3  # searches ahead, for each worker

Readable = Frame | Callable[[], Frame]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the work is divided.

    Attributes:
        batch_size: Maximum number of frames, and of faces, that wait for a full batch.
        workers: Frames that are decoded and searched at the same time, besides the classification
            of earlier ones; with 1 everything is done in turn.
        detect_every: Search every n-th frame of a video, see `fill_between`.
    """

    batch_size: int
    workers: int = 1
    detect_every: int = 1


def recognize(
    frames: Iterable[Readable],
    detector: Detector | None,
    classifier: Classifier,
    *,
    tracker: Tracker | None,
    limits: Callable[[], Limits],
    schedule: Schedule,
) -> Iterator[FrameResult]:
    """Recognize the faces of each frame, in order.

    If the frames, the detector or the user stop the work, what was found before is classified and
    given out first.

    Args:
        frames: Images, or functions that read them, see `image_readers`; with a tracker the frames
            of one video, in order.
        detector: Finds the faces; None to take each image as one face. It is called by one thread,
            unless it has a method `for_threads`, see `ThreadedDetector`.
        classifier: The model.
        tracker: Tracks and smooths the faces of a video.
        limits: Returns which faces get a prediction. Called again and again, because the classes
            and their threshold may change meanwhile.
        schedule: How the work is divided.
    """
    builder = ResultBuilder(classifier, tracker, limits, alone=schedule.workers == 1)
    waiting: list[tuple[Frame, list[FoundFace]]] = []

    with closing(_search_all(frames, detector, schedule)) as stream:
        # what was found before an error, or before Ctrl-C, is not lost
        searched = UntilError(stream)
        for found in searched:
            min_score = limits().min_face_score
            waiting.append(_crop(found, classifier, min_score, whole=detector is None))
            if _is_full(waiting, schedule.batch_size):
                yield from builder.build(waiting)
                waiting = []

        yield from builder.build(waiting)
    searched.reraise()


def _search_all(
    frames: Iterable[Readable], detector: Detector | None, schedule: Schedule
) -> Generator[SearchedFrame, None, None]:
    """Read and search the frames, a few of them ahead."""
    every = schedule.detect_every
    plans: Iterable[tuple[Readable, bool]]
    if every == 1:
        plans = ((item, detector is not None) for item in frames)
    else:
        plans = plan_searches((i if isinstance(i, Frame) else i() for i in frames), every)

    workers = min(schedule.workers, schedule.batch_size)
    if workers > 1:
        # a single photo is searched by all cores at once
        alone, plans = is_single(plans)
        workers = 1 if alone else workers
    in_threads: Detector | None = None
    if workers > 1 and isinstance(detector, ThreadedDetector):
        in_threads = detector.for_threads()

    def read(plan: tuple[Readable, bool]) -> tuple[SearchedFrame, bool]:
        """A frame, searched if the detector works in threads; and whether it is still due."""
        item, is_due = plan
        frame = item if isinstance(item, Frame) else item()
        if is_due and in_threads is not None:
            return _search(frame, in_threads), False
        return SearchedFrame(frame, None), is_due

    ahead = workers * max(_AHEAD, every + 1)
    stream = look_ahead(
        read, plans, workers=workers, ahead=ahead, weigh=_count_pixels, max_weight=_MAX_PIXELS
    )
    with closing(stream):
        searched: Iterator[SearchedFrame] = (
            _search(found.frame, detector) if is_due and detector is not None else found
            for found, is_due in stream
        )
        if every > 1 and detector is not None:
            searched = fill_between(searched, lambda frame: _search(frame, detector))
        yield from searched


def _search(frame: Frame, detector: Detector) -> SearchedFrame:
    """Search a frame; one that the detector fails on does not end the others."""
    if frame.pixels is None:
        return SearchedFrame(frame, None)
    try:
        return SearchedFrame(frame, detector.detect(frame.pixels))
    except DataError as error:
        return SearchedFrame(replace(frame, pixels=None, problem=str(error)), None)


def _crop(
    found: SearchedFrame, classifier: Classifier, min_score: float, *, whole: bool
) -> tuple[Frame, list[FoundFace]]:
    """Crop the faces of a frame, or take all of it as one."""
    frame = found.frame
    if frame.pixels is None:
        return frame, []
    try:
        if whole:
            return frame, [crop_whole(frame.pixels, classifier)]
        detections = found.detections or []
        return frame, crop_faces(frame.pixels, detections, classifier, min_score=min_score)
    except DataError as error:
        return replace(frame, pixels=None, problem=str(error)), []


def _is_full(waiting: list[tuple[Frame, list[FoundFace]]], batch_size: int) -> bool:
    """Whether enough frames, faces or pixels wait to be classified."""
    # pixels count because frames wait with their images
    num_faces = sum(len(faces) for _, faces in waiting)
    num_pixels = sum(frame.pixels.size // 3 for frame, _ in waiting if frame.pixels is not None)
    return max(len(waiting), num_faces) >= batch_size or num_pixels >= _MAX_PIXELS


def _count_pixels(value: tuple[Any, bool]) -> int:
    """Pixels of a frame before or after it was searched; a file that is not read yet has none."""
    frame = value[0].frame if isinstance(value[0], SearchedFrame) else value[0]
    pixels = frame.pixels if isinstance(frame, Frame) else None
    return 0 if pixels is None else pixels.size // 3
