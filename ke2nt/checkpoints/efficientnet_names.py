"""EfficientNet weights named as in efficientnet_pytorch, under timm's names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

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

_THEIR_NAME = re.compile(r"(.*?)(?:_blocks\.(\d+)\.)?(_\w+)\.(\w+)")
_THEIR_EXPANSION = re.compile(r".*?_blocks\.(\d+)\._expand_conv")
_TIMM_BLOCK = re.compile(r"blocks\.\d+\.\d+")


def timm_efficientnet_names(
    tensors: Mapping[str, Tensor], module_names: Collection[str]
) -> dict[str, Tensor]:
    """Rename `_conv_stem`, `_blocks.7._expand_conv`, … to `conv_stem`, `blocks.3.1.conv_pw`, ….

    efficientnet_pytorch numbers its blocks consecutively, timm by stage and position in the stage;
    the names of the timm model say how many blocks a stage has.

    Args:
        tensors: Name → tensor of a weights file; other families' are returned unchanged.
        module_names: Names of the timm model's parameters and buffers.
    """
    if not any(name.endswith("_conv_stem.weight") for name in tensors):
        return dict(tensors)

    # "blocks.0.0", "blocks.1.0", … in the order of the network
    block_matches = map(_TIMM_BLOCK.match, module_names)
    blocks = list(dict.fromkeys(match[0] for match in block_matches if match))

    # blocks that expand name their normalizations differently
    expansions = map(_THEIR_EXPANSION.match, tensors)
    expanding = {match[1] for match in expansions if match}
    return {_timm_name(name, blocks, expanding): tensor for name, tensor in tensors.items()}


def _timm_name(name: str, blocks: Sequence[str], expanding: Collection[str]) -> str:
    """A name of efficientnet_pytorch as timm has it; any other name unchanged.

    Args:
        name: "_blocks.7._expand_conv.weight".
        blocks: timm's blocks in order, such as "blocks.3.1".
        expanding: Numbers of the blocks that begin with an expanding convolution.
    """
    match = _THEIR_NAME.fullmatch(name)
    if match is None:
        return name

    # layers outside of the blocks have no number
    prefix, number, layer, parameter = match.groups()
    if number is None:
        return f"{prefix}{_OUTER.get(layer, layer)}.{parameter}"
    if int(number) >= len(blocks):
        return name  # of a deeper network, which will not fit

    inner = (_EXPANDING if number in expanding else _PLAIN).get(layer, layer)
    return f"{prefix}{blocks[int(number)]}.{inner}.{parameter}"
