"""The methods by name: model, face, target → heat map."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ke2nt.explain.attention_map import compute_attention_map
from ke2nt.explain.gradcam import compute_gradcam_map
from ke2nt.explain.method_names import check_method_name
from ke2nt.explain.occlusion import compute_occlusion_map
from ke2nt.explain.target import Target
from ke2nt.models.base import ExpressionModel

__all__ = ["METHODS", "Method", "get_method"]

Method = Callable[[ExpressionModel, np.ndarray, Target], np.ndarray]
"""Model, uint8 (S, S, 3) face, target → float32 (S, S) heat map."""

METHODS: Mapping[str, Method] = {
    "attention": compute_attention_map,
    "gradcam": compute_gradcam_map,
    "occlusion": compute_occlusion_map,
}


def get_method(name: str) -> Method:
    """Look up a method by its name.

    Raises:
        ConfigError: The name is unknown.
    """
    check_method_name(name)
    return METHODS[name]
