"""EfficientNet weights as efficientnet_pytorch names them, under timm's names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

__all__ = ["timm_efficientnet_names"]

_OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
} | _SQUEEZE
_PLAIN = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
} | _SQUEEZE


def timm_efficientnet_names(
    tensors: Mapping[str, Tensor], own: Collection[str]
) -> dict[str, Tensor]:
    """Rename `_conv_stem`, `_blocks.7._expand_conv`, … to `conv_stem`, `blocks.3.1.conv_pw`, ….

    That family counts its blocks through, timm by stage; the module's own names tell the stages.

    Args:
        tensors: Name → tensor of a weights file; other families' are given back as they are.
        own: Names of the timm model's parameters and buffers.
    """
    if not any(name.endswith("_conv_stem.weight") for name in tensors):
        return dict(tensors)
    places = list(dict.fromkeys(m[0] for m in map(re.compile(r"blocks\.\d+\.\d+").match, own) if m))
    expanding = {
        m[1] for m in map(re.compile(r".*?_blocks\.(\d+)\._expand_conv").match, tensors) if m
    }

    def renamed(name: str) -> str:
        parts = re.fullmatch(r"(.*?)(?:_blocks\.(\d+)\.)?(_\w+)\.(\w+)", name)
        if parts is None:
            return name
        prefix, block, layer, kind = parts.groups()
        if block is None:
            return f"{prefix}{_OUTER.get(layer, layer)}.{kind}"
        if int(block) >= len(places):
            return name
        inner = (_EXPANDING if block in expanding else _PLAIN).get(layer, layer)
        return f"{prefix}{places[int(block)]}.{inner}.{kind}"

    return {renamed(name): tensor for name, tensor in tensors.items()}
