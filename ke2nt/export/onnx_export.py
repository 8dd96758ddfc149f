"""A model written as an ONNX file, checked against the model, and as 8-bit integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import ModelError
from ke2nt.export.compare import Comparison, compare_probabilities
from ke2nt.export.deployed import DeployedModel
from ke2nt.export.onnx_file import build_onnx, find_encoder_nodes, remove_notes
from ke2nt.export.ort import OnnxRecognizer, quantize
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.atomic import write_bytes
from ke2nt.runtime.seeding import derive_seed

__all__ = ["TOLERANCE", "export_int8", "export_onnx", "predict_onnx"]

TOLERANCE = 1e-4
"""Maximum difference of a probability between the model and its ONNX file."""

_PROBE_BATCHES = (1, 7)  # two sizes, as the batch size is free
_BATCH_SIZE = 32


def export_onnx(model: ExpressionModel, path: Path, *, source: str | None = None) -> Comparison:
    """Write a model as an ONNX file whose predictions have been compared with the model's.

    Args:
        model: On the CPU; left in evaluation mode.
        path: The file to write.
        source: What tells the model from others, see `network_key`.

    Returns:
        The comparison on random images, in batches of two sizes.

    Raises:
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ModelError: A probability differs by more than `TOLERANCE`; nothing is written.
    """
    graph = build_onnx(model, source=source)
    comparison = _compare_on_probes(model, OnnxRecognizer(graph))

    # a NaN difference fails, too
    if not comparison.max_difference <= TOLERANCE:
        raise ModelError(
            "the exported graph does not predict like the model",
            expected=f"probabilities within {TOLERANCE:g}",
            found=f"a difference of {comparison.max_difference:.3g}",
            hint="The backbone may not be supported; please report this with the output of "
            "ke2nt doctor.",
        )
    write_bytes(path, graph)
    return comparison


def export_int8(graph: Path, path: Path, samples: FaceTensors, *, count: int = 256) -> None:
    """Write an exported model with an image encoder in 8-bit integers.

    Head, text embeddings and calibration stay in float32: a cosine times 100 needs all its bits.

    Args:
        graph: A file written by `export_onnx`.
        path: The file to write.
        samples: Training images that set the ranges of the activations.
        count: Number of images to use, evenly spaced.
    """
    usable = samples.usable
    spaced = torch.linspace(0, len(usable) - 1, min(count, len(usable))).long()
    batches = samples.batches(_BATCH_SIZE, order=usable[spaced])
    images = (_to_channels_last(batch.pixels) for batch in batches)

    content = graph.read_bytes()
    small = quantize(content, images, find_encoder_nodes(content))
    write_bytes(path, remove_notes(small))


def predict_onnx(exported: OnnxRecognizer, images: FaceTensors) -> np.ndarray:
    """Compute the probabilities (N, K) of every readable image of a split, in its order."""
    batches = images.batches(_BATCH_SIZE)
    return np.concatenate([exported(_to_channels_last(batch.pixels)) for batch in batches])


def _compare_on_probes(model: ExpressionModel, exported: OnnxRecognizer) -> Comparison:
    """Compare a model with its graph on random images."""
    deployed = DeployedModel(model).eval()
    size = model.preprocessing.image_size
    rng = np.random.default_rng(derive_seed(0, "export probes"))

    before, after = [], []
    for count in _PROBE_BATCHES:
        images = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        with torch.inference_mode():
            before.append(deployed(torch.from_numpy(images))[0].numpy())
        after.append(exported(images))
    return compare_probabilities(np.concatenate(before), np.concatenate(after))


def _to_channels_last(pixels: torch.Tensor) -> np.ndarray:
    """(B, 3, S, S) → (B, S, S, 3)."""
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())
