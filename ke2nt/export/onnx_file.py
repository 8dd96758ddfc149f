"""ONNX graphs of recognizers. The only file that imports onnx."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from typing import Any

import torch

from ke2nt._version import __version__
from ke2nt.errors import ModelError
from ke2nt.export.deployed import DeployedModel
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.optional import import_optional

__all__ = ["INPUT", "OUTPUT", "find_encoder_nodes", "build_onnx"]

INPUT = "images"
OUTPUT = "probabilities"
_PURPOSE = "exporting to ONNX"
_HEAVY = ("Conv", "Gemm", "MatMul")


def build_onnx(model: ExpressionModel) -> bytes:
    """An ONNX file from uint8 (batch, S, S, 3) RGB `images` to float32 (batch, K) `probabilities`.

    Normalization, text embeddings and calibration are constants of the graph; the batch size is
    free. Metadata (`metadata_props`): classes and calibration as JSON, image_size, ke2nt (version).

    Args:
        model: On the CPU; left in evaluation mode.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
        ModelError: The image encoder cannot be expressed.
    """
    onnx = import_optional("onnx", extra="export", purpose=_PURPOSE)
    import_optional("onnxscript", extra="export", purpose=_PURPOSE)
    size = model.preprocessing.image_size
    images = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(
                DeployedModel(model).eval(),
                (images,),
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes={INPUT: {0: torch.export.Dim("batch", min=1)}},
                verbose=False,
            )
    except Exception as error:  # torch.export and its translation raise many kinds
        raise ModelError(
            "the model cannot be expressed as an ONNX graph",
            found=f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0][:200]}",
        ) from error
    graph = program.model_proto
    calibration = model.calibration
    facts = {
        "classes": json.dumps(list(model.classes)),
        "image_size": str(size),
        "calibration": json.dumps(calibration and calibration.to_dict()),
        "ke2nt": __version__,
    }
    onnx.helper.set_model_props(graph, facts)
    onnx.checker.check_model(graph)
    return graph.SerializeToString()


def find_encoder_nodes(graph: bytes) -> list[str]:
    """Names of the convolutions and matrix products of the image encoder in a `build_onnx` file."""
    onnx = import_optional("onnx", extra="export", purpose=_PURPOSE)
    return [
        node.name
        for node in onnx.load_from_string(graph).graph.node
        if node.op_type in _HEAVY
        and any("model.backbone" in fact.value for fact in node.metadata_props)
    ]
