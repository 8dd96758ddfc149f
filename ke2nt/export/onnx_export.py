"""A model written as an ONNX file, checked against the model, and as 8-bit integers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import ModelError
from ke2nt.export.compare import Comparison, compare_probabilities
from ke2nt.export.deployed import DeployedModel
from ke2nt.export.onnx_file import build_onnx, find_encoder_nodes
from ke2nt.export.ort import OnnxRecognizer, quantize
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.atomic import write_bytes
from ke2nt.runtime.seeding import derive_seed

__all__ = ["TOLERANCE", "export_int8", "export_onnx", "predict_onnx"]

TOLERANCE = 1e-4
_PROBES = (1, 7)
_BATCH = 32


def export_onnx(model: ExpressionModel, path: Path) -> Comparison:
    """Write a model as an ONNX file whose answers have been compared with the model's.

    Args:
        model: On the CPU; left in evaluation mode.
        path: The file to write.

    Returns:
        The comparison on random images, in batches of two sizes.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ModelError: A probability differs by more than `TOLERANCE`; nothing is written.
    """
    graph = build_onnx(model)
    exported, deployed = OnnxRecognizer(graph), DeployedModel(model).eval()
    size = model.preprocessing.image_size
    rng = np.random.default_rng(derive_seed(0, "export probes"))
    before, after = [], []
    for count in _PROBES:
        images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        with torch.inference_mode():
            before.append(deployed(torch.from_numpy(images)).numpy())
        after.append(exported(images))
    found = compare_probabilities(np.concatenate(before), np.concatenate(after))
    if not found.max_difference <= TOLERANCE:
        raise ModelError(
            "the exported graph does not answer as the model does",
            expected=f"probabilities within {TOLERANCE:g}",
            found=f"a difference of {found.max_difference:.3g}",
        )
    write_bytes(path, graph)
    return found


def export_int8(graph: Path, path: Path, samples: FaceTensors, *, count: int = 256) -> None:
    """Write an exported model with an image encoder in 8-bit integers.

    Head, text embeddings and calibration stay in float32: a cosine times 100 has no bits to spare.

    Args:
        graph: A file that `export_onnx` wrote.
        path: The file to write.
        samples: Training images; `count` of them, at even distances, set the ranges.
        count: How many.
    """
    usable = samples.usable
    chosen = usable[torch.linspace(0, len(usable) - 1, min(count, len(usable))).long()]
    batches = (_channels_last(b.pixels) for b in samples.batches(_BATCH, order=chosen))
    content = graph.read_bytes()
    write_bytes(path, quantize(content, batches, find_encoder_nodes(content)))


def predict_onnx(exported: OnnxRecognizer, images: FaceTensors) -> np.ndarray:
    """Probabilities (N, K) of every readable image of a split, in its order."""
    return np.concatenate([exported(batch) for batch in _batches(images)])


def _batches(images: FaceTensors) -> Iterator[np.ndarray]:
    for batch in images.batches(_BATCH):
        yield _channels_last(batch.pixels)


def _channels_last(pixels: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())
