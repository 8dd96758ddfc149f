"""Pictures in, rows out, a few pictures at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ke2nt.predict.classify import FaceClassifier, Scores
from ke2nt.predict.detections import Box, Detector
from ke2nt.predict.frames import Frame, FrameResult
from ke2nt.predict.result import FaceResult
from ke2nt.predict.tracking import Tracker

__all__ = ["Face", "find_faces", "recognize"]

_MAX_PIXELS = 32 * 1024 * 1024  # of pictures that wait for a full batch


class Face(NamedTuple):
    """A face on its way to the model.

    Attributes:
        box: Where it is, in pixels.
        score: The detector's score, None where the whole picture is taken.
        crop: uint8 (S, S, 3), S the model's image size.
    """

    box: Box
    score: float | None
    crop: np.ndarray


def find_faces(
    pixels: np.ndarray, detector: Detector | None, classifier: FaceClassifier
) -> list[Face]:
    """Faces of a picture from left to right; the whole picture where there is no detector."""
    if detector is None:
        height, width = pixels.shape[:2]
        return [Face((0.0, 0.0, float(width), float(height)), None, classifier.crop(pixels, None))]
    found = sorted(detector.detect(pixels), key=lambda face: face.box)
    return [Face(face.box, face.score, classifier.crop(pixels, face.box)) for face in found]


def recognize(
    frames: Iterable[Frame],
    detector: Detector | None,
    classifier: FaceClassifier,
    *,
    tracker: Tracker | None,
    min_confidence: Callable[[], float],
    hold: int,
) -> Iterator[FrameResult]:
    """Rows of each picture, in order.

    Args:
        frames: Pictures; those of one video, in order, where there is a tracker.
        detector: Finds the faces; None where every picture is one.
        classifier: The model.
        tracker: Joins and smooths the faces of a video.
        min_confidence: Answers below it are withheld; asked when faces are classified, as words and
            with them the threshold may change while a stream is read.
        hold: Most pictures, and faces, that wait for a full batch.
    """
    waiting: list[tuple[Frame, list[Face]]] = []
    rows = _Rows(classifier, tracker, min_confidence)
    for frame in frames:
        faces = [] if frame.pixels is None else find_faces(frame.pixels, detector, classifier)
        waiting.append((frame, faces))
        pixels = sum(0 if f.pixels is None else f.pixels.size // 3 for f, _ in waiting)
        if max(len(waiting), sum(len(f) for _, f in waiting)) >= hold or pixels >= _MAX_PIXELS:
            yield from rows.of(waiting)
            waiting = []
    yield from rows.of(waiting)


class _Rows:
    def __init__(
        self,
        classifier: FaceClassifier,
        tracker: Tracker | None,
        threshold: Callable[[], float],
    ) -> None:
        self.classifier = classifier
        self.tracker = tracker
        self.threshold = threshold

    def of(self, waiting: list[tuple[Frame, list[Face]]]) -> Iterator[FrameResult]:
        crops = [face.crop for _, faces in waiting for face in faces]
        self.min_confidence, self.unvalidated = self.threshold(), not self.classifier.own_words
        scores = self.classifier.classify(crops) if crops else None
        start = 0
        for frame, faces in waiting:
            if faces:
                assert scores is not None
                part = scores.slice(start, start + len(faces))
                rows = self._face_rows(frame, faces, part)
            else:
                rows = (self._empty_row(frame),)
            start += len(faces)
            yield FrameResult(frame, rows)

    def _empty_row(self, frame: Frame) -> FaceResult:
        return FaceResult(
            source=frame.source,
            status="unreadable" if frame.pixels is None else "no_face",
            frame=frame.index,
            time=frame.time,
            unvalidated=self.unvalidated,
            reason=frame.problem,
        )

    def _face_rows(self, frame: Frame, faces: list[Face], scores: Scores) -> tuple[FaceResult, ...]:
        tracks: list[int | None] = [None] * len(faces)
        smooth = scores
        if self.tracker is not None and frame.time is not None:
            boxes = [face.box for face in faces]
            numbers, values = self.tracker.update(frame.time, boxes, scores.joined())
            tracks, smooth = [*numbers], scores.like(values)
        return tuple(
            self._row(frame, face, track, scores, smooth, index)
            for index, (face, track) in enumerate(zip(faces, tracks, strict=True))
        )

    def _row(
        self,
        frame: Frame,
        face: Face,
        track: int | None,
        scores: Scores,
        smooth: Scores,
        index: int,
    ) -> FaceResult:
        classes = self.classifier.model.classes
        raw, answer = scores.probabilities[index], smooth.probabilities[index]
        best, raw_best = int(answer.argmax()), int(raw.argmax())
        sure = bool(answer[best] >= self.min_confidence)
        moves = smooth.intensities
        return FaceResult(
            source=frame.source,
            status="ok" if sure else "low_confidence",
            frame=frame.index,
            time=frame.time,
            box=face.box,
            detector_score=face.score,
            track=track,
            probabilities=dict(zip(classes, answer.tolist(), strict=True)),
            label=classes[best] if sure else None,
            confidence=float(answer[best]),
            intensity=float(moves[index, best]) if sure and moves is not None else None,
            raw_label=classes[raw_best],
            raw_confidence=float(raw[raw_best]),
            unvalidated=self.unvalidated,
        )
