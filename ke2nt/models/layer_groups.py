"""The layers of an image encoder in order: stem, blocks, and what follows the last block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

__all__ = ["LayerGroups", "find_layer_groups"]

_SEQUENCES = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

# projections that CLIP's towers hold as a parameter beside those of their stem
_FINAL_PARAMETERS = ("proj",)


@dataclass(frozen=True)
class LayerGroups:
    """Names of an encoder's parameters by layer.

    Attributes:
        stem: What comes before the first block: patches, position embeddings, first convolution.
        blocks: Name of each block's module → its parameters and those between it and the block
            before it, near the image first. Empty if the encoder is no sequence of blocks.
        final: What follows the last block: normalization, pooling, projection.
    """

    stem: tuple[str, ...]
    blocks: Mapping[str, tuple[str, ...]]
    final: tuple[str, ...]

    def last(self, count: int) -> tuple[str, ...]:
        """Parameters of the last blocks and of what follows them.

        Args:
            count: Number of blocks, at most as many as there are.
        """
        names = list(self.blocks.values())[len(self.blocks) - count :]
        return (*(name for block in names for name in block), *self.final)

    def depths(self) -> dict[str, int]:
        """Parameter → layers between it and the features: 1 for the last block and what follows.

        As timm counts them for ViT, ResNet and Swin.
        """
        depths = dict.fromkeys(self.stem, len(self.blocks) + 1)
        for index, names in enumerate(self.blocks.values()):
            depths |= dict.fromkeys(names, len(self.blocks) - index)
        return depths | dict.fromkeys(self.final, 1)


def find_layer_groups(net: nn.Module) -> LayerGroups:
    """Find the layers of an encoder from the structure of its modules.

    A block is an element of a sequence with layers of its own. An element that holds a sequence of
    such elements itself is a stage, and its elements are the blocks.

    Args:
        net: Registers its modules in the order in which it computes them, as encoders usually do.
    """
    blocks: dict[str, list[str]] = {name: [] for name in _block_names(net, "")}
    owners = list(blocks)
    outside: list[str] = []
    stem: list[str] = []

    # what stands between two blocks belongs to the second one
    for name in _names_in_order(net):
        owner = next((block for block in owners if name.startswith(f"{block}.")), None)
        if owner is None:
            outside.append(name)
            continue
        if owner == owners[0] and not blocks[owner]:
            stem, outside = outside, []
        blocks[owner] += [*outside, name]
        outside = []

    if not blocks:
        return LayerGroups(tuple(outside), {}, ())
    return LayerGroups(
        tuple(stem), {name: tuple(names) for name, names in blocks.items()}, tuple(outside)
    )


def _names_in_order(net: nn.Module) -> list[str]:
    """Names of the parameters as registered, projections beside the stem last."""
    names = [name for name, _ in net.named_parameters()]
    return sorted(names, key=lambda name: name.rpartition(".")[2] in _FINAL_PARAMETERS)


def _block_names(module: nn.Module, prefix: str) -> Iterator[str]:
    """Names of the blocks below a module, in order."""
    in_sequence = isinstance(module, _SEQUENCES)
    for name, child in module.named_children():
        if in_sequence and _is_block(child) and not _is_stage(child):
            yield f"{prefix}{name}"
        else:
            yield from _block_names(child, f"{prefix}{name}.")


def _is_block(module: nn.Module) -> bool:
    """Whether an element of a sequence has layers of its own, with parameters."""
    has_layers = any(True for _ in module.children())
    has_parameters = any(True for _ in module.parameters())
    return has_layers and has_parameters and not isinstance(module, _SEQUENCES)


def _is_stage(module: nn.Module) -> bool:
    """Whether a module holds a sequence of blocks itself."""
    sequences = [child for child in module.children() if isinstance(child, _SEQUENCES)]
    return any(_is_block(element) for sequence in sequences for element in sequence.children())
