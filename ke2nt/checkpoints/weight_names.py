"""Names that other programs give to the tensors of networks that ke2nt builds."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from torch import Tensor

from ke2nt.checkpoints.efficientnet_names import timm_efficientnet_names

__all__ = ["is_constant", "renamed_forms"]

# computed from the architecture, or not used by it; files have them or not
_CONSTANTS = ("relative_position_index", "attn_mask", "num_batches_tracked")

# children of a torchvision ResNet by their number in a Sequential
_RESNET_CHILDREN = {
    "0": "conv1",
    "1": "bn1",
    "4": "layer1",
    "5": "layer2",
    "6": "layer3",
    "7": "layer4",
}

# CLIP's image tower → timm's ViT
_CLIP_PARTS = {
    "class_embedding": "cls_token",
    "positional_embedding": "pos_embed",
    "conv1.weight": "patch_embed.proj.weight",
}
_CLIP_WORDS = (
    (r"^transformer\.resblocks\.", "blocks."),
    (r"\bln_pre\b", "norm_pre"),
    (r"\bln_post\b", "norm"),
    (r"\bln_1\b", "norm1"),
    (r"\bln_2\b", "norm2"),
    (r"\battn\.in_proj_", "attn.qkv."),
    (r"\battn\.out_proj\b", "attn.proj"),
    (r"\bmlp\.c_fc\b", "mlp.fc1"),
    (r"\bmlp\.c_proj\b", "mlp.fc2"),
)


def is_constant(name: str) -> bool:
    """Whether a tensor carries nothing that was learned."""
    return name.rpartition(".")[2] in _CONSTANTS


def renamed_forms(
    tensors: Mapping[str, Tensor], target: Collection[str]
) -> dict[str, Mapping[str, Tensor]]:
    """Name a group of tensors in every way that may fit a network.

    Args:
        tensors: Tensors of a file by name.
        target: Names of the network's parameters and buffers.

    Returns:
        Whose names they were ("" for the network's own) → name → tensor.
    """
    forms: dict[str, Mapping[str, Tensor]] = {"": tensors}
    forms["efficientnet_pytorch"] = timm_efficientnet_names(tensors, target)
    for origin, mark, rename in _RENAMINGS:
        if mark in target:
            forms[origin] = rename(tensors)
    return forms


def _from_original_swin(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm counts the patch merging between two stages to the second one, Swin to the first."""
    return {
        re.sub(r"\blayers\.(\d+)\.downsample\b", _next_stage, name): tensor
        for name, tensor in tensors.items()
    }


def _next_stage(match: re.Match[str]) -> str:
    return f"layers.{int(match[1]) + 1}.downsample"


def _from_numbered_resnet(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """FER repositories cut a ResNet with `Sequential(*children)`, which numbers its parts."""
    renamed = {}
    for name, tensor in tensors.items():
        # only the first number: those behind it count the blocks
        found = re.search(r"(?:^|\.)(\d+)\.", name)
        if found and found[1] in _RESNET_CHILDREN:
            name = f"{name[: found.start(1)]}{_RESNET_CHILDREN[found[1]]}{name[found.end(1) :]}"
        renamed[name] = tensor
    return renamed


def _from_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The image tower of OpenAI's and open_clip's ViTs."""
    # the level of the tower, whatever wraps it
    prefix = next((n.removesuffix("class_embedding") for n in tensors if _is_class_token(n)), None)
    if prefix is None:
        return dict(tensors)

    renamed = {}
    for name, tensor in tensors.items():
        if not name.startswith(prefix):
            renamed[name] = tensor
            continue
        part = name.removeprefix(prefix)
        if part in _CLIP_PARTS:
            # timm has an axis for the batch: (1, 1, D) and (1, N, D)
            if part != "conv1.weight":
                tensor = tensor.reshape(1, -1, tensor.shape[-1])
            part = _CLIP_PARTS[part]
        for pattern, replacement in _CLIP_WORDS:
            part = re.sub(pattern, replacement, part)
        renamed[part] = tensor
    return renamed


def _is_class_token(name: str) -> bool:
    return name == "class_embedding" or name.endswith(".class_embedding")


_RENAMINGS: tuple[tuple[str, str, Callable[[Mapping[str, Tensor]], dict[str, Tensor]]], ...] = (
    ("Swin", "layers.1.downsample.reduction.weight", _from_original_swin),
    ("a ResNet in a Sequential", "layer1.0.conv1.weight", _from_numbered_resnet),
    ("CLIP", "norm_pre.weight", _from_clip),
)
