"""ONNX files run and quantized, with onnxruntime."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ke2nt.errors import ModelError
from ke2nt.runtime.file_content import check_content
from ke2nt.runtime.formatting import first_line
from ke2nt.runtime.optional import import_optional
from ke2nt.runtime.threads import count_threads

__all__ = [
    "FAMILIARITY",
    "INPUT",
    "INTENSITIES",
    "LOGITS",
    "OUTPUT",
    "NetworkScores",
    "OnnxRecognizer",
    "quantize",
]

# names in the files
INPUT = "images"
OUTPUT = "probabilities"
LOGITS = "logits"
INTENSITIES = "intensities"
FAMILIARITY = ("face_score", "distance")

_ERRORS_ONLY = 3  # of onnxruntime's severity levels


class NetworkScores(NamedTuple):
    """What a network answers for a batch, float32.

    Attributes:
        logits: (B, K), not calibrated.
        intensities: (B, K) without a scale; None with a linear head.
        familiarity: (B, 2) face scores and distances; None if the model has none.
    """

    logits: np.ndarray
    intensities: np.ndarray | None
    familiarity: np.ndarray | None


class OnnxRecognizer:
    """An exported recognizer in onnxruntime, on the CPU.

    Args:
        source: The file, or its content.
        threads: Threads per call; 0 for as many as `count_threads` says.

    Attributes:
        classes: Class names in index order.
        image_size: Side of the square input in pixels.
        facts: What prediction needs beside the network: interpolation, calibration, familiarity,
            card, source, see `build_onnx`; a file of an older version has fewer.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        ModelError: The file was not written by `ke2nt export`.
    """

    def __init__(self, source: Path | bytes, *, threads: int = 0) -> None:
        runtime = import_optional("onnxruntime", extra="export", purpose="running ONNX files")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or count_threads()
        options.log_severity_level = _ERRORS_ONLY
        # waiting threads would take the processor from the detector
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")

        try:
            self._session = runtime.InferenceSession(
                source if isinstance(source, bytes) else str(source),
                options,
                providers=["CPUExecutionProvider"],
            )
            metadata = self._session.get_modelmeta().custom_metadata_map
            self.classes = tuple(json.loads(metadata["classes"]))
            self.image_size = int(metadata["image_size"])
            self.facts: dict[str, Any] = json.loads(metadata.get("facts", "{}"))
            for key in ("calibration", "familiarity"):
                self.facts[key] = json.loads(metadata.get(key, "null"))
            outputs = {value.name for value in self._session.get_outputs()}
        except Exception as error:  # onnxruntime has an error class for every status code
            if not isinstance(source, bytes):
                check_content(source, ModelError)
            raise ModelError(
                "not an ONNX file that ke2nt exported",
                found=f"{type(error).__name__}: {first_line(error)}",
                where=None if isinstance(source, bytes) else source,
            ) from error
        names = (LOGITS, INTENSITIES, *FAMILIARITY)
        self._scores = [name for name in names if name in outputs]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Compute the probabilities of a batch.

        Args:
            images: uint8 (B, S, S, 3), RGB.

        Returns:
            float32 (B, K).

        Raises:
            ModelError: The images have another shape or dtype.
        """
        self._check(images)
        return self._session.run([OUTPUT], {INPUT: images})[0]

    def score(self, images: np.ndarray) -> NetworkScores:
        """Compute uncalibrated logits, raw intensities and familiarity of a batch.

        Args:
            images: uint8 (B, S, S, 3), RGB.

        Raises:
            ModelError: The images have another shape or dtype, or the file has no logits.
        """
        self._check(images)
        if LOGITS not in self._scores:
            raise ModelError(
                "an older version of ke2nt exported this ONNX file, without logits",
                hint="Export it again: ke2nt export MODEL",
            )
        values = dict(
            zip(self._scores, self._session.run(self._scores, {INPUT: images}), strict=True)
        )
        familiarity = [values[name] for name in FAMILIARITY if name in values]
        return NetworkScores(
            values[LOGITS],
            values.get(INTENSITIES),
            np.stack(familiarity, axis=1) if familiarity else None,
        )

    def _check(self, images: np.ndarray) -> None:
        size = self.image_size
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3):
            raise ModelError(
                "the images do not fit the model",
                expected=f"uint8 of shape (batch, {size}, {size}, 3)",
                found=f"{images.dtype} of shape {images.shape}",
            )


def quantize(
    graph: bytes, batches: Iterable[np.ndarray], nodes: Sequence[str], *, name: str = INPUT
) -> bytes:
    """Quantize nodes of an ONNX file to 8-bit integers.

    Weights are scaled per channel, activations by the range of their values on the batches.

    Args:
        graph: An ONNX file, such as `build_onnx` returns.
        batches: Inputs of the network, similar to those in use; of a file of `build_onnx` uint8
            (B, S, S, 3) images.
        nodes: Names of the nodes.
        name: Of the input.
    """
    quantization: Any = import_optional(
        "onnxruntime.quantization", extra="export", purpose="8-bit ONNX files"
    )
    with tempfile.TemporaryDirectory() as folder, _quiet_root_logger():
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(graph)

        quantization.quantize_static(
            str(source),
            str(target),
            _CalibrationReader(batches, name),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            # 7-bit weights: with 8 bits, sums overflow on CPUs that have AVX2 but not VNNI
            reduce_range=True,
            weight_type=quantization.QuantType.QInt8,
            activation_type=quantization.QuantType.QUInt8,
            nodes_to_quantize=list(nodes),
        )
        return target.read_bytes()


class _CalibrationReader:
    """The one method of onnxruntime's CalibrationDataReader."""

    def __init__(self, batches: Iterable[np.ndarray], name: str) -> None:
        self._batches = iter(batches)
        self._name = name

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {self._name: batch}


@contextmanager
def _quiet_root_logger() -> Iterator[None]:
    """Hide the advice that the quantizer writes to the root logger."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
