"""An ONNX file like those of `ke2nt export`, made by hand: torch takes seconds to export one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = ("neutral", "happiness", "anger")


def tiny_onnx(
    *,
    size: int = 16,
    logits: bool = True,
    familiarity: dict[str, Any] | None = None,
    **facts: Any,
) -> bytes:
    """Build a file whose logits are 9 times the mean color, and whose intensities are its half.

    Args:
        size: Side of the input in pixels.
        logits: Whether it has logits, as files of older versions do not.
        familiarity: Limits; the face score is then the mean of red and the distance that of green,
            each from 0 to 9.
        **facts: As `build_onnx` stores them.
    """
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["colors"], keepdims=0),
        helper.make_node("Mul", ["colors", "scale"], ["logits"]),
        helper.make_node("Mul", ["logits", "half"], ["intensities"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants = {
        "axes": np.array([1, 2]),
        "scale": np.array(9 / 255, np.float32),
        "half": np.array(0.5, np.float32),
    }
    if familiarity is not None:
        for index, name in enumerate(("face_score", "distance")):
            nodes.append(helper.make_node("Gather", ["logits", name + "_index"], [name], axis=1))
            constants[name + "_index"] = np.array(index)
    names = ["probabilities", *(["logits", "intensities"] if logits else [])]
    batch = ["batch", len(CLASSES)]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, batch) for name in names]
    if familiarity is not None:
        outputs += [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, batch[:1])
            for name in ("face_score", "distance")
        ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", size, size, 3])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    metadata = {
        "classes": json.dumps(CLASSES),
        "image_size": str(size),
        "calibration": json.dumps(facts.pop("calibration", None)),
        "familiarity": json.dumps(familiarity),
        "facts": json.dumps(facts),
    }
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    return model.SerializeToString()
