"""ONNX graphs of recognizers. Besides `predict/centerface.py` the only file that imports onnx."""

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
from ke2nt.export.ort import FAMILIARITY, INPUT, INTENSITIES, LOGITS, OUTPUT
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.formatting import first_line
from ke2nt.runtime.optional import import_optional

__all__ = ["build_onnx", "find_encoder_nodes", "remove_notes"]

_PURPOSE = "exporting to ONNX"
_OPS_WITH_WEIGHTS = ("Conv", "Gemm", "MatMul")
_SCOPES = "pkg.torch.onnx.name_scopes"  # the exporter's note on the module of a node


def build_onnx(model: ExpressionModel, *, source: str | None = None) -> bytes:
    """Build an ONNX file from uint8 (batch, S, S, 3) RGB `images` to `probabilities`.

    The output is float32 (batch, K). Two more have the same shape: `logits` before the calibration
    and, with a text head, raw `intensities` (see `ke2nt.predict.intensity`). A model with a
    familiarity has two further outputs, `face_score` and `distance` (batch,). Normalization, text
    embeddings and calibration are constants of the graph; the batch size is free. Metadata
    (`metadata_props`): classes, calibration and familiarity (with the limits of these outputs) as
    JSON, image_size, ke2nt (version), and `facts`, JSON with what the engine "onnx" of
    `ke2nt predict` needs.

    Args:
        model: On the CPU; left in evaluation mode.
        source: What tells the model from others, see `network_key`.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
        ModelError: The image encoder cannot be converted.
    """
    onnx = import_optional("onnx", extra="export", purpose=_PURPOSE)
    import_optional("onnxscript", extra="export", purpose=_PURPOSE)

    graph = _convert(model).model_proto
    _keep_notes(graph, (_SCOPES,))
    onnx.helper.set_model_props(graph, _describe(model, source))
    onnx.checker.check_model(graph)
    return graph.SerializeToString()


def find_encoder_nodes(graph: bytes) -> list[str]:
    """Name the convolutions and matrix products of the image encoder in a `build_onnx` file."""
    onnx = import_optional("onnx", extra="export", purpose=_PURPOSE)
    nodes = []
    for node in onnx.load_from_string(graph).graph.node:
        # the exporter records from which module a node comes
        in_encoder = any("model.backbone" in entry.value for entry in node.metadata_props)
        if node.op_type in _OPS_WITH_WEIGHTS and in_encoder:
            nodes.append(node.name)
    return nodes


def remove_notes(graph: bytes) -> bytes:
    """Remove the names of modules, which `find_encoder_nodes` reads, from a `build_onnx` file."""
    onnx = import_optional("onnx", extra="export", purpose=_PURPOSE)
    model = onnx.load_from_string(graph)
    _keep_notes(model, ())
    return bytes(model.SerializeToString())


def _keep_notes(model: Any, keys: tuple[str, ...]) -> None:
    """Remove all other notes of the exporter: its source code and paths of this machine."""
    graph = model.graph
    values = (graph.input, graph.output, graph.value_info, graph.initializer)
    for part in (graph, *graph.node, *(value for group in values for value in group)):
        kept = [(note.key, note.value) for note in part.metadata_props if note.key in keys]
        del part.metadata_props[:]
        for key, value in kept:
            part.metadata_props.add(key=key, value=value)


def _convert(model: ExpressionModel) -> Any:
    """Convert a model to torch's ONNX program."""
    size = model.preprocessing.image_size
    names = [OUTPUT, LOGITS]
    if model.bank is not None:
        names.append(INTENSITIES)
    if model.familiarity is not None:
        names.extend(FAMILIARITY)
    images = torch.zeros((2, size, size, 3), dtype=torch.uint8)  # 2: a batch of 1 would be fixed

    try:
        # the exporter prints its progress and warns about itself
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return torch.onnx.export(
                DeployedModel(model).eval(),
                (images,),
                dynamo=True,
                input_names=[INPUT],
                output_names=names,
                dynamic_shapes={INPUT: {0: torch.export.Dim("batch", min=1)}},
                verbose=False,
            )
    except Exception as error:  # torch.export and its translation raise many types
        raise ModelError(
            "the model cannot be converted to an ONNX graph",
            found=f"{type(error).__name__}: {first_line(error)}",
        ) from error


def _describe(model: ExpressionModel, source: str | None) -> dict[str, str]:
    """Metadata of a file."""
    calibration, familiarity = model.calibration, model.familiarity
    facts = {
        "source": source,
        "interpolation": model.preprocessing.interpolation,
        "card": {key: model.card[key] for key in ("predict", "class_prior") if key in model.card},
    }
    return {
        "classes": json.dumps(list(model.classes)),
        "image_size": str(model.preprocessing.image_size),
        "calibration": json.dumps(calibration and calibration.to_dict()),
        "familiarity": json.dumps(familiarity and familiarity.to_dict()),
        "facts": json.dumps(facts),
        "ke2nt": __version__,
    }
