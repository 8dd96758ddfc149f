"""Scores of the faces of a few frames, as results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ke2nt.predict.found_faces import FoundFace
from ke2nt.predict.frames import Frame, FrameResult
from ke2nt.predict.result import FaceResult, Status
from ke2nt.predict.scores import Classifier, Scores
from ke2nt.predict.tracking import Tracker

__all__ = ["Limits", "ResultBuilder"]


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


class ResultBuilder:
    """Classifies the faces of a few frames and turns their scores into results.

    Args:
        classifier: The model.
        tracker: Tracks and smooths the faces of a video.
        limits: Returns which faces get a prediction.
        alone: Whether no other threads compute at the same time.
    """

    def __init__(
        self,
        classifier: Classifier,
        tracker: Tracker | None,
        limits: Callable[[], Limits],
        *,
        alone: bool,
    ) -> None:
        self._alone = alone
        self._classifier = classifier
        self._tracker = tracker
        self._get_limits = limits
        self._classes: tuple[str, ...] = ()

    def build(self, waiting: list[tuple[Frame, list[FoundFace]]]) -> Iterator[FrameResult]:
        """Classify the faces of the frames, and give out the results one by one."""
        crops = [face.crop for _, faces in waiting for face in faces]
        self._take_state()
        # the classification of a single image is all that is left to do
        alone = self._alone or len(waiting) == 1
        scores = self._classifier.classify(crops, alone=alone) if crops else None

        # the scores of a frame's faces follow those of the frames before it
        start = 0
        for frame, faces in waiting:
            stop = start + len(faces)
            if scores is None or not faces:
                yield FrameResult(frame, (self._build_empty_row(frame),))
            else:
                yield FrameResult(frame, self._build_rows(frame, faces, scores.slice(start, stop)))
            start = stop

    def _take_state(self) -> None:
        """Keep what the results of these frames depend on: the classes may change between two."""
        model = self._classifier.model
        if self._tracker is not None and self._classes not in ((), model.classes):
            self._tracker.forget()  # values of other classes
        self._classes = model.classes
        self._familiarity = model.familiarity
        self._has_scale = self._classifier.has_scale
        self._unvalidated = self._classifier.custom_classes
        self._limits = self._get_limits()

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
        classes = self._classes
        raw_probabilities, probabilities = raw.probabilities[0], smoothed.probabilities[0]
        raw_best, best = int(raw_probabilities.argmax()), int(probabilities.argmax())

        # a prediction that is not reliable is withheld; its probabilities stay
        is_sure = bool(probabilities[best] >= self._limits.thresholds[best])
        status, problems = self._judge(face, raw, is_sure=is_sure)

        # other words and models without a scale have intensities that mean something else
        intensity, scaled = None, self._has_scale
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
        familiarity, unfamiliar = self._familiarity, False
        if familiarity is not None and raw.familiarity is not None:
            score, distance = raw.familiarity[0]
            if self._limits.check_faces and score < familiarity.min_face:
                return "not_a_face", ()
            unfamiliar = bool(distance > familiarity.max_distance)

        if self._limits.check_quality and face.quality.problems:
            return "poor_quality", face.quality.problems
        return "ok" if is_sure else "low_confidence", ("unfamiliar",) if unfamiliar else ()
