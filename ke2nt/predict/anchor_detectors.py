"""SCRFD and RetinaFace in ONNX Runtime, with model files of the user."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ke2nt.errors import CheckpointError, DataError
from ke2nt.predict.anchors import Candidates, decode_retinaface, decode_scrfd, sort_scrfd
from ke2nt.predict.centerface import load_any_session
from ke2nt.predict.detections import Detection
from ke2nt.predict.pyramid import detect_at_sides
from ke2nt.runtime.formatting import first_line

__all__ = ["KINDS", "AnchorDetector", "recognize_detector"]

KINDS = ("scrfd", "retinaface")
_SIDES = (320, 640, 1280)
_MULTIPLE = 32
_PROBE = 320  # pixels of an input that takes any size
# How each network was trained to take pixels: mean, divisor and order of the channels
_MEANS = {"scrfd": (127.5, 127.5, 127.5), "retinaface": (104.0, 117.0, 123.0)}
_DIVISORS = {"scrfd": 128.0, "retinaface": 1.0}
_ORDERS = {"scrfd": 1, "retinaface": -1}
_EXPECTED = (
    "score, box and points of strides 8, 16 and 32 (SCRFD), or box offsets, two scores and points "
    "of all priors (RetinaFace)"
)


class AnchorDetector:
    """Face boxes, with five landmarks if the file has them.

    Args:
        model: The ONNX file. A file with a fixed input size searches images at that size.
        kind: "scrfd" or "retinaface"; by default the one that the outputs show.
        min_score: Faces with a lower score are dropped, in [0, 1].
        sides: Long sides, in pixels, to which an image is resized; see `detect_at_sides`.

    Raises:
        CheckpointError: The file is missing or damaged, or its outputs are not those of the kind.
        MissingExtraError: ONNX Runtime is not installed.
    """

    def __init__(
        self,
        model: Path,
        kind: str | None = None,
        *,
        min_score: float = 0.5,
        sides: Sequence[int] = _SIDES,
    ) -> None:
        self._model = model
        self._session = load_any_session(model)
        self._threaded: AnchorDetector | None = None
        self._min_score = min_score
        size = _input_size(self._session, model)
        self._fixed = size
        self._sides = tuple(sides) if size is None else (min(size),)

        # a gray image shows the shapes of the outputs
        height, width = size or (_PROBE, _PROBE)
        gray = np.full((height, width, 3), 128, np.uint8)
        fitting = []
        for name in KINDS if kind is None else (kind,):
            try:
                outputs = self._run(gray, name)
            except Exception as error:  # ONNX Runtime has classes of its own
                raise _unusable(model, first_line(error)) from error
            if _decode(name, outputs, height, width) is not None:
                fitting.append(name)
        if not fitting:
            raise _unusable(model, "outputs " + ", ".join(str(output.shape) for output in outputs))
        self.kind = fitting[0]

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Find the faces of an upright uint8 (H, W, 3) RGB image, best first."""
        return detect_at_sides(image, self._sides, self._detect_at_one_size)

    def for_threads(self) -> AnchorDetector:
        """Return the same detector for several threads at a time, each call on one core."""
        if self._threaded is None:
            self._threaded = copy.copy(self)
            self._threaded._session = load_any_session(self._model, threads=1)
        return self._threaded

    def _detect_at_one_size(self, image: np.ndarray) -> list[Detection]:
        # the border is repeated, so that no edge appears where the image ends
        height, width = image.shape[:2]
        if self._fixed is None:
            padding = (-height % _MULTIPLE, -width % _MULTIPLE)
        else:
            padding = (self._fixed[0] - height, self._fixed[1] - width)
        padded = np.pad(image, ((0, padding[0]), (0, padding[1]), (0, 0)), mode="edge")

        outputs = self._run(padded, self.kind)
        candidates = _decode(self.kind, outputs, *padded.shape[:2])
        if candidates is None:
            shapes = ", ".join(str(output.shape) for output in outputs)
            raise DataError("the outputs of the detector do not fit the image", found=shapes)
        return candidates.above(self._min_score)

    def _run(self, image: np.ndarray, kind: str) -> list[np.ndarray]:
        pixels = image[:, :, :: _ORDERS[kind]].astype(np.float32)
        pixels = (pixels - np.array(_MEANS[kind], np.float32)) / np.float32(_DIVISORS[kind])
        batch = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
        outputs: list[np.ndarray] = self._session.run(
            None, {self._session.get_inputs()[0].name: batch}
        )
        return outputs


def recognize_detector(model: Path) -> str:
    """The kind of a detector's ONNX file by its outputs: "centerface", "yunet", or one of `KINDS`.

    Raises:
        CheckpointError: The file cannot be used, or has the outputs of none of them.
    """
    outputs = load_any_session(model).get_outputs()
    channels = [output.shape[1] if len(output.shape) == 4 else None for output in outputs]
    if channels == [1, 2, 2, 10]:
        return "centerface"
    if {"cls_8", "obj_8", "bbox_8", "kps_8"} <= {output.name for output in outputs}:
        return "yunet"
    return AnchorDetector(model).kind


def _decode(kind: str, outputs: Sequence[np.ndarray], height: int, width: int) -> Candidates | None:
    """Candidates of an image; None if the outputs have other shapes."""
    if kind == "retinaface":
        return decode_retinaface(outputs, height, width)
    sorted_outputs = sort_scrfd(outputs, height, width)
    return None if sorted_outputs is None else decode_scrfd(sorted_outputs, height, width)


def _input_size(session: object, model: Path) -> tuple[int, int] | None:
    """Height and width of the input, or None if it takes any size."""
    inputs = session.get_inputs()  # type: ignore[attr-defined]
    shape = inputs[0].shape
    if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3:
        raise _unusable(model, f"inputs {', '.join(str(each.shape) for each in inputs)}")
    return (shape[2], shape[3]) if all(isinstance(side, int) for side in shape[2:]) else None


def _unusable(model: Path, found: str) -> CheckpointError:
    return CheckpointError(
        "the model file is none of the face detectors that are known",
        expected=f"one image (1, 3, H, W) as input; {_EXPECTED}",
        found=found,
        where=model,
        hint="Another network needs a class of your own: see 'Your own detector' in "
        "docs/predict.md.",
    )
