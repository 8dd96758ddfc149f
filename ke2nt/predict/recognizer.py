"""From images and videos to expressions: detect, crop, classify, track."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from ke2nt.checkpoints.find_model import is_onnx_name
from ke2nt.errors import ConfigError, DataError, ModelError, PromptError
from ke2nt.models.prior_values import PriorLike
from ke2nt.models.set_prior import set_prior
from ke2nt.predict.detections import Detector
from ke2nt.predict.detectors import DETECTORS, get_detector
from ke2nt.predict.found_faces import find_faces
from ke2nt.predict.frames import FrameResult
from ke2nt.predict.image_inputs import ImageLike, image_frames, image_readers
from ke2nt.predict.image_result import ImageResult, ImageResults
from ke2nt.predict.onnx_classifier import OnnxClassifier, OnnxModel
from ke2nt.predict.pipeline import Readable, Schedule, recognize
from ke2nt.predict.result import FaceResult, Results
from ke2nt.predict.result_builder import Limits
from ke2nt.predict.scores import Classifier
from ke2nt.predict.tracking import Tracker
from ke2nt.predict.video import video_frames
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.threads import count_threads

if TYPE_CHECKING:
    import torch

    from ke2nt.models.base import ExpressionModel

__all__ = ["DEFAULT_MODEL", "Engine", "Recognizer"]

Engine = Literal["torch", "onnx"]
_MAX_WORKERS = 4  # each needs the memory of a search

DEFAULT_MODEL = "ke2nt/ferplus-faces"
"""The model that comes with the package."""


class Recognizer:
    """Finds faces and recognizes their expressions, in images and videos.

    Args:
        model: A recognizer; it is moved to the device and put in evaluation mode. An `OnnxModel` is
            computed by ONNX Runtime, without torch.
        detector: "centerface" (for videos its fast version), another name of `get_detector`, your
            own `Detector`, or None if each image is already a face crop.
        device: Where to compute; by default the GPU if there is one.
        batch_size: Faces per forward pass, and maximum number of images that wait for it.
        classes: Words or a prompt set to recognize instead of the model's classes; every result is
            then flagged as unvalidated.
        min_confidence: Predictions with a lower probability are withheld, in [0, 1]. None for the
            threshold stored with the model's calibration, or 0 if there is none.
        min_face_score: Detections with a lower score of the detector are left out, in [0, 1].
        check_quality: Withhold predictions for dark, small and blurred faces, see
            `ke2nt.predict.quality`.
        check_faces: Withhold predictions for what the model does not take for a face, if it has a
            familiarity (`ke2nt calibrate`).
        align: Turn tilted faces until their eyes are level, if the detector finds these. None for
            the setting of the model.
        prior: Class shares that the probabilities assume: "natural", "even", a number between 1 and
            0, a share of each class, or a file; see `ke2nt.models.prior_values.read_prior`. None
            for those of the model. They belong to its own classes, not to `classes`.
        text_encoder: Where the text encoder for `classes` is now, such as "open_clip:FOLDER"; it
            must be the one that the model was trained with. None for the name that it stores.
        workers: Images and video frames that are decoded and searched at the same time, while
            earlier ones are classified; with 1 everything is done in turn. None for OMP_NUM_THREADS
            or the number of cores, at most 4.

    Raises:
        ConfigError: The detector or device is unknown, or a number is out of range.
        MissingExtraError: The package of the detector is not installed.

    Example:
        >>> recognizer = Recognizer.from_pretrained("ke2nt/ferplus-faces")
        >>> recognizer("photo.jpg")
        ImageResults([
          ImageResult('photo.jpg', 2 faces: happiness 0.93, neutral 0.71),
        ])
    """

    def __init__(
        self,
        model: ExpressionModel | OnnxModel,
        *,
        detector: str | Detector | None = "centerface",
        device: str | torch.device | None = None,
        batch_size: int = 32,
        classes: Sequence[str] | PromptSet | None = None,
        min_confidence: float | None = None,
        min_face_score: float = 0.0,
        check_quality: bool = True,
        check_faces: bool = True,
        align: bool | None = None,
        prior: PriorLike | None = None,
        text_encoder: str | None = None,
        workers: int | None = None,
    ) -> None:
        _check_count("batch_size", batch_size)
        if workers is not None:
            _check_count("workers", workers)
        for name, share in (("min_confidence", min_confidence), ("min_face_score", min_face_score)):
            if share is not None:
                _check_number(name, share, Real)
            if share is not None and not 0 <= share <= 1:
                raise ConfigError(f"{name} is out of range", expected="0 to 1", found=share)

        switches = {"check_quality": check_quality, "check_faces": check_faces, "align": align}
        for name, switch in switches.items():
            if not isinstance(switch, bool) and not (name == "align" and switch is None):
                raise ConfigError(f"{name} must be True or False", found=repr(switch))
        if prior is not None and classes is not None:
            raise ConfigError("a class prior belongs to the model's classes, not to other words")

        self._detector, self._video_detector = _create_detectors(detector)
        self._classifier = _create_classifier(model, device, batch_size)
        if align is not None:
            settings = replace(self._classifier.settings, align=align)
            self._classifier.settings = settings
        self._min_confidence = min_confidence
        self._min_face_score = min_face_score
        self._check_quality, self._check_faces = check_quality, check_faces
        self._text_encoder = text_encoder
        self._workers = workers or min(count_threads(), _MAX_WORKERS)

        if prior is not None:
            set_prior(model, prior)

        # what `set_classes(None)` restores
        self._trained_bank = model.bank
        self._trained_calibration, self._trained_card = model.calibration, model.card
        if classes is not None:
            self.set_classes(classes)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = DEFAULT_MODEL,
        *,
        detector: str | Detector | None = "centerface",
        device: str | torch.device | None = None,
        batch_size: int = 32,
        classes: Sequence[str] | PromptSet | None = None,
        min_confidence: float | None = None,
        min_face_score: float = 0.0,
        check_quality: bool = True,
        check_faces: bool = True,
        align: bool | None = None,
        prior: PriorLike | None = None,
        text_encoder: str | None = None,
        workers: int | None = None,
        engine: Engine | None = None,
    ) -> Self:
        """Load a model: a bundled one, a folder, a run directory, or a hub id "user/name".

        The other arguments are those of the class.

        Args:
            name_or_path: The model, or an ONNX file that `ke2nt export` wrote.
            engine: "torch", or "onnx" for ONNX Runtime on the CPU, which needs no torch once the
                model is exported; see `open_engine_file`. By default "onnx" for an ONNX file.

        Raises:
            CheckpointError: There is no such model, or its files are damaged.
            ConfigError: The engine is unknown, or does not run an ONNX file.
            MissingExtraError: The packages of the engine are not installed.
        """
        return cls(
            _load(name_or_path, engine),
            detector=detector,
            device=device,
            batch_size=batch_size,
            classes=classes,
            min_confidence=min_confidence,
            min_face_score=min_face_score,
            check_quality=check_quality,
            check_faces=check_faces,
            align=align,
            prior=prior,
            text_encoder=text_encoder,
            workers=workers,
        )

    @property
    def model(self) -> Any:
        """The model: an `ExpressionModel` or an `OnnxModel`."""
        return self._classifier.model

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self.model.classes

    @property
    def unvalidated(self) -> bool:
        """Whether the classes are custom words that the model was never tested on."""
        return self._classifier.custom_classes

    @property
    def min_confidence(self) -> float:
        """Predictions with a lower probability are withheld; the lowest of the classes' values."""
        return min(self.thresholds)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The same for each predicted class, in the order of `classes`."""
        calibration, classes = self.model.calibration, len(self.classes)
        if self._min_confidence is not None or calibration is None:
            return (self._min_confidence or 0.0,) * classes
        return calibration.thresholds(classes)

    def set_classes(self, classes: Sequence[str] | PromptSet | None) -> None:
        """Recognize custom classes from now on, or the model's classes again.

        Args:
            classes: Words in the language of the text encoder, such as ["bored", "in pain"]; a
                prompt set; or None for the classes the model was trained with.

        Raises:
            ModelError: The model has a linear head or runs in ONNX Runtime, and does not support
                custom classes.
            TextEncoderError: The text encoder of the model is unavailable, or has changed.
            MissingExtraError: The text encoder of the model is minilm and not installed.
            PromptError: A word is empty, repeated, or too long, or there is one class alone.
        """
        if classes is None:
            self._restore_classes()
            return

        if isinstance(self.model, OnnxModel):
            raise ModelError(
                "the engine onnx has the class texts of its file, and takes no other words",
                hint="Use the engine torch: leave out --engine onnx, and name the model, not its "
                "ONNX file.",
            )
        from ke2nt.predict.custom_classes import build_class_bank  # torch

        # `set_bank` also adapts the calibration and drops the evaluations from the card
        bank = build_class_bank(self.model, self._trained_bank, classes, self._text_encoder)
        if bank.num_classes < 2:
            raise PromptError(
                "one class alone would be the answer for every face",
                expected="two classes or more",
                found=", ".join(bank.classes),
            )
        self.model.set_bank(bank)
        self._classifier.custom_classes = True

    def set_neutral(self, photo: ImageLike | None) -> None:
        """Measure intensity from a neutral photo of the same person, or from the median face again.

        Args:
            photo: A photo of the person's neutral face; its largest face is used. None for the
                median neutral face of the model's scale.

        Raises:
            DataError: The photo cannot be read, or has no face.
            ModelError: The model has a linear head, which has no intensity.
        """
        if photo is None:
            self._classifier.neutral = None
            return

        frame = next(image_frames(photo), None)
        if frame is None:
            raise DataError("no neutral photo", expected="one photo", found="none")
        if frame.pixels is None:
            raise DataError(
                "the neutral photo cannot be read", where=frame.source, found=frame.problem
            )

        # people in the background are smaller than the person
        faces = find_faces(
            frame.pixels, self._detector, self._classifier, min_score=self._min_face_score
        )
        if not faces:
            raise DataError(
                "no face in the neutral photo",
                where=frame.source,
                hint="Use a photo in which the face is larger.",
            )
        largest = max(faces, key=lambda face: face.area)
        self._classifier.set_neutral(largest.crop)

    def __call__(self, images: ImageLike | Iterable[ImageLike]) -> ImageResults:
        """Recognize the faces of some images, with one result for each image.

        Args:
            images: A file: its path, content (bytes) or an open file; a PIL image; an array
                (H, W, 3) in RGB order or (H, W) gray, or a tensor (3, H, W), uint8 or floating in
                0..1; a folder or a pattern such as "album/*.jpg"; or any number of them. EXIF
                orientation is applied.

        Returns:
            Results in the order of the images; a single image gives one result. `result.faces` are
            its faces from left to right, none if there is no face or the file cannot be read.

        Raises:
            DataError: A value is not an image, such as a number or an array of another shape or
                range; or a folder has no image.
        """
        results = (ImageResult.from_rows(result.rows) for result in self.stream_images(images))
        return ImageResults(results, self.classes)

    def predict(self, images: ImageLike | Iterable[ImageLike]) -> Results:
        """Recognize the faces of some images, with one row for each face.

        Args:
            images: As for calling the recognizer.

        Returns:
            Rows in the order of the images, faces from left to right; an image without a face, or
            one that cannot be read, has one row that says so.

        Raises:
            DataError: A value is not an image, such as a number or an array of another shape or
                range; or a folder has no image.
        """
        rows = (row for result in self.stream_images(images) for row in result.rows)
        return Results(rows, self.classes)

    def stream_images(self, images: ImageLike | Iterable[ImageLike]) -> Iterator[FrameResult]:
        """Yield one image at a time with its pixels and rows; memory does not grow."""
        return self._recognize(image_readers(images), self._detector)

    def predict_video(
        self,
        source: str | Path | int,
        *,
        every: int = 1,
        limit: int | None = None,
        smoothing: float = 0.5,
        detect_every: int = 1,
    ) -> Iterator[FaceResult]:
        """Yield a row for every face of a video or camera; memory does not grow.

        Args:
            source: A video file, or the index of a camera.
            every: Use every n-th frame.
            limit: Stop after this number of used frames.
            smoothing: Time constant of the smoothing along a track in seconds; 0 for none.
            detect_every: Search every n-th used frame for faces; between two of them the boxes
                change linearly, see `ke2nt.predict.between`.

        Raises:
            ConfigError: A number is out of range, or `detect_every` is set without a detector.
            DataError: The camera cannot be opened.
            MissingExtraError: The package that reads videos or cameras is not installed.
        """
        stream = self.stream_video(
            source, every=every, limit=limit, smoothing=smoothing, detect_every=detect_every
        )
        return (row for result in stream for row in result.rows)

    def stream_video(
        self,
        source: str | Path | int,
        *,
        every: int = 1,
        limit: int | None = None,
        smoothing: float = 0.5,
        detect_every: int = 1,
    ) -> Iterator[FrameResult]:
        """Yield one frame at a time with its pixels and rows; arguments as in `predict_video`."""
        _check_count("detect_every", detect_every)
        if detect_every > 1 and self._video_detector is None:
            raise ConfigError(
                "detect_every has no meaning without a detector, as each frame is one face",
                found=f"detect_every {detect_every}",
            )
        frames = video_frames(source, every=every, limit=limit)
        tracker = Tracker(smoothing=smoothing)

        # a camera is shown live, so its frames do not wait for a full batch
        batch_size = 1 if isinstance(source, int) else None
        return self._recognize(frames, self._video_detector, tracker, batch_size, detect_every)

    def _recognize(
        self,
        frames: Iterable[Readable],
        detector: Detector | None,
        tracker: Tracker | None = None,
        batch_size: int | None = None,
        detect_every: int = 1,
    ) -> Iterator[FrameResult]:
        return recognize(
            frames,
            detector,
            self._classifier,
            tracker=tracker,
            limits=lambda: Limits(
                self.thresholds, self._min_face_score, self._check_quality, self._check_faces
            ),
            schedule=Schedule(
                batch_size or self._classifier.batch_size, self._workers, detect_every
            ),
        )

    def _restore_classes(self) -> None:
        """Recognize the classes the model was trained with."""
        if self.unvalidated and self._trained_bank is not None:
            self.model.set_bank(self._trained_bank)
            self.model.calibration = self._trained_calibration
            self.model.card = self._trained_card
        self._classifier.custom_classes = False


def _load(name: str | Path, engine: Engine | None) -> ExpressionModel | OnnxModel:
    """The model in its engine."""
    if engine is not None and engine not in get_args(Engine):
        raise ConfigError(
            f"unknown engine {engine!r}", expected=f"one of {', '.join(get_args(Engine))}"
        )
    is_file = is_onnx_name(name)
    if is_file and engine == "torch":
        raise ConfigError("the engine torch does not run ONNX files", found=str(name))
    if is_file or engine == "onnx":
        return OnnxModel.load(name)

    from ke2nt.models.load import load_model  # torch

    return load_model(name)


def _create_classifier(
    model: ExpressionModel | OnnxModel, device: str | torch.device | None, batch_size: int
) -> Classifier:
    """The model with its crops."""
    if isinstance(model, OnnxModel):
        if device is not None and str(device) != "cpu":
            raise ConfigError("the engine onnx computes on the CPU", found=f"device {device}")
        return OnnxClassifier(model, batch_size=batch_size)

    from ke2nt.predict.classify import FaceClassifier  # torch
    from ke2nt.runtime.devices import usable_device

    return FaceClassifier(model, device=usable_device(device), batch_size=batch_size)


def _create_detectors(
    detector: str | Detector | None,
) -> tuple[Detector | None, Detector | None]:
    """Detectors for images and for videos; one that is the same for both is created once."""
    if not isinstance(detector, str):
        if detector is not None and not isinstance(detector, Detector):
            raise ConfigError(
                "not a face detector",
                expected="the name of a detector, an object with a method detect(image), or None",
                found=repr(detector),
            )
        return detector, detector

    image_detector = get_detector(detector)
    if f"{detector}:fast" in DETECTORS:
        return image_detector, get_detector(f"{detector}:fast")
    return image_detector, image_detector


def _check_count(name: str, value: object) -> None:
    """Refuse what is not a positive integer."""
    _check_number(name, value, Integral)
    assert isinstance(value, Integral)
    if value < 1:
        raise ConfigError(f"{name} is out of range", expected="1 or more", found=value)


def _check_number(name: str, value: object, kind: type) -> None:
    """Refuse a text or another object in place of a number."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ConfigError(
            f"{name} is not a number",
            expected="a whole number" if kind is Integral else "a number 0 to 1",
            found=repr(value),
        )
