"""Frames in, results out, a few frames at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ke2nt.errors import DataError
from ke2nt.predict.crop import crop_level, crop_square
from ke2nt.predict.detections import Box, Detector
from ke2nt.predict.frames import Frame, FrameResult
from ke2nt.predict.quality import FaceQuality, measure_quality
from ke2nt.predict.result import FaceResult, Status
from ke2nt.predict.scores import Classifier, Scores
from ke2nt.predict.tracking import Tracker

__all__ = ["FoundFace", "Limits", "find_faces", "recognize"]

_MAX_PIXELS = 32 * 1024 * 1024  # of frames that wait for a full batch


class FoundFace(NamedTuple):
    """A face on its way to the model.

    Attributes:
        box: Face in pixels.
        score: Score of the detector; None if the whole image is the face.
        crop: uint8 (S, S, 3), S the model's image size.
        quality: How well the face can be seen.
    """

    box: Box
    score: float | None
    crop: np.ndarray
    quality: FaceQuality

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def find_faces(
    pixels: np.ndarray,
    detector: Detector | None,
    classifier: Classifier,
    *,
    min_score: float = 0.0,
) -> list[FoundFace]:
    """Find and crop the faces of an image, from left to right.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        detector: Finds the faces; None to take the whole image as one face.
        classifier: Crops the faces.
        min_score: Detections with a lower score are left out, in [0, 1].
    """
    if detector is None:
        height, width = pixels.shape[:2]
        box = (0.0, 0.0, float(width), float(height))
        quality = measure_quality(pixels, max(width, height))
        return [FoundFace(box, None, classifier.crop(pixels, None), quality)]

    faces = []
    for detection in sorted(detector.detect(pixels), key=lambda detection: detection.box):
        if detection.score < min_score:
            continue
        # the square is cut once, for the model and for the quality
        x0, y0, x1, y1 = detection.box
        settings = classifier.settings
        cut = crop_level(pixels, detection, settings.margin) if settings.align else None
        square = crop_square(pixels, detection.box, settings.margin) if cut is None else cut
        quality = measure_quality(square, max(x1 - x0, y1 - y0))
        crop = classifier.crop(square, None)
        faces.append(FoundFace(detection.box, detection.score, crop, quality))
    return faces


@dataclass(frozen=True, slots=True)
class Limits:
    """Which faces get a prediction.

    Attributes:
        thresholds: Predictions of each class with a lower probability are withheld, K values in
            [0, 1].
        min_face_score: Detections with a lower score are left out, in [0, 1].
        check_quality: Whether predictions for dark, small and blurred faces are withheld.
        check_faces: Whether predictions for what does not look like a face are withheld.
    """

    thresholds: tuple[float, ...]
    min_face_score: float
    check_quality: bool
    check_faces: bool = True


def recognize(
    frames: Iterable[Frame],
    detector: Detector | None,
    classifier: Classifier,
    *,
    tracker: Tracker | None,
    limits: Callable[[], Limits],
    batch_size: int,
) -> Iterator[FrameResult]:
    """Recognize the faces of each frame, in order.

    Args:
        frames: Images; with a tracker the frames of one video, in order.
        detector: Finds the faces; None to take each image as one face.
        classifier: The model.
        tracker: Tracks and smooths the faces of a video.
        limits: Returns which faces get a prediction. Called again and again, because the classes
            and their threshold may change meanwhile.
        batch_size: Maximum number of frames, and of faces, that wait for a full batch.
    """
    builder = _ResultBuilder(classifier, tracker, limits)
    waiting: list[tuple[Frame, list[FoundFace]]] = []

    for frame in frames:
        faces: list[FoundFace] = []
        if frame.pixels is not None:
            min_score = limits().min_face_score
            # an image that a detector fails on does not end the others
            try:
                faces = find_faces(frame.pixels, detector, classifier, min_score=min_score)
            except DataError as error:
                frame = replace(frame, pixels=None, problem=str(error))
        waiting.append((frame, faces))
        if _is_full(waiting, batch_size):
            yield from builder.build(waiting)
            waiting = []

    yield from builder.build(waiting)


def _is_full(waiting: list[tuple[Frame, list[FoundFace]]], batch_size: int) -> bool:
    """Whether enough frames, faces or pixels wait to be classified."""
    # pixels count because frames wait with their images
    num_faces = sum(len(faces) for _, faces in waiting)
    num_pixels = sum(frame.pixels.size // 3 for frame, _ in waiting if frame.pixels is not None)
    return max(len(waiting), num_faces) >= batch_size or num_pixels >= _MAX_PIXELS


class _ResultBuilder:
    """Classifies the faces of a few frames and turns their scores into results."""

    def __init__(
        self,
        classifier: Classifier,
        tracker: Tracker | None,
        limits: Callable[[], Limits],
    ) -> None:
        self._classifier = classifier
        self._tracker = tracker
        self._get_limits = limits

    def build(self, waiting: list[tuple[Frame, list[FoundFace]]]) -> Iterator[FrameResult]:
        crops = [face.crop for _, faces in waiting for face in faces]
        self._limits = self._get_limits()
        self._unvalidated = self._classifier.custom_classes
        scores = self._classifier.classify(crops) if crops else None

        # the scores of a frame's faces follow those of the frames before it
        start = 0
        for frame, faces in waiting:
            stop = start + len(faces)
            if scores is None or not faces:
                yield FrameResult(frame, (self._build_empty_row(frame),))
            else:
                yield FrameResult(frame, self._build_rows(frame, faces, scores.slice(start, stop)))
            start = stop

    def _build_empty_row(self, frame: Frame) -> FaceResult:
        return FaceResult(
            source=frame.source,
            status="unreadable" if frame.pixels is None else "no_face",
            frame=frame.index,
            time=frame.time,
            unvalidated=self._unvalidated,
            reason=frame.problem,
        )

    def _build_rows(
        self, frame: Frame, faces: list[FoundFace], scores: Scores
    ) -> tuple[FaceResult, ...]:
        tracks: list[int | None] = [None] * len(faces)
        smoothed = scores
        if self._tracker is not None and frame.time is not None:
            boxes = [face.box for face in faces]
            numbers, matrix = self._tracker.update(frame.time, boxes, scores.to_matrix())
            tracks = [*numbers]
            smoothed = Scores.from_matrix(matrix, scores.probabilities.shape[1])

        return tuple(
            self._build_row(frame, face, track, scores.slice(i, i + 1), smoothed.slice(i, i + 1))
            for i, (face, track) in enumerate(zip(faces, tracks, strict=True))
        )

    def _build_row(
        self, frame: Frame, face: FoundFace, track: int | None, raw: Scores, smoothed: Scores
    ) -> FaceResult:
        """Result of one face from its scores of this frame alone and its smoothed scores."""
        classes = self._classifier.model.classes
        raw_probabilities, probabilities = raw.probabilities[0], smoothed.probabilities[0]
        raw_best, best = int(raw_probabilities.argmax()), int(probabilities.argmax())

        # a prediction that is not reliable is withheld; its probabilities stay
        is_sure = bool(probabilities[best] >= self._limits.thresholds[best])
        status, problems = self._judge(face, raw, is_sure=is_sure)

        # other words and models without a scale have intensities that mean something else
        intensity, scaled = None, self._classifier.has_scale
        if status == "ok" and smoothed.intensities is not None:
            intensity = float(smoothed.intensities[0, best])

        return FaceResult(
            source=frame.source,
            status=status,
            frame=frame.index,
            time=frame.time,
            box=face.box,
            detector_score=face.score,
            track=track,
            probabilities=dict(zip(classes, probabilities.tolist(), strict=True)),
            label=classes[best] if status == "ok" else None,
            confidence=float(probabilities[best]),
            intensity=intensity if scaled else None,
            unscaled_intensity=None if scaled else intensity,
            raw_label=classes[raw_best],
            raw_confidence=float(raw_probabilities[raw_best]),
            unvalidated=self._unvalidated,
            reason=", ".join(problems) or None,
        )

    def _judge(
        self, face: FoundFace, raw: Scores, *, is_sure: bool
    ) -> tuple[Status, tuple[str, ...]]:
        """Whether the prediction of a face is reliable, and what is wrong with it."""
        familiarity, unfamiliar = self._classifier.model.familiarity, False
        if familiarity is not None and raw.familiarity is not None:
            score, distance = raw.familiarity[0]
            if self._limits.check_faces and score < familiarity.min_face:
                return "not_a_face", ()
            unfamiliar = bool(distance > familiarity.max_distance)

        if self._limits.check_quality and face.quality.problems:
            return "poor_quality", face.quality.problems
        return "ok" if is_sure else "low_confidence", ("unfamiliar",) if unfamiliar else ()
