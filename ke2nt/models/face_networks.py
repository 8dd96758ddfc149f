"""Networks of face recognition by name; their pixels are normalized as their weights expect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ke2nt.errors import ModelError
from ke2nt.models.backbone_names import FACE_NETWORKS
from ke2nt.models.dlib_resnet import DLIB_BLOCKS, DlibResNet, smallest_image
from ke2nt.models.iresnet import IRESNETS, IResNet

__all__ = ["FACE_NETWORKS", "build_face_network"]

_DLIB = "dlib_resnet"


def build_face_network(
    name: str, *, image_size: int, in_chans: int, options: Mapping[str, Any]
) -> nn.Module:
    """Build a network of face recognition, without a classifier of identities.

    Args:
        name: One of `FACE_NETWORKS`.
        image_size: Side of the square input in pixels.
        in_chans: Channels of the input.
        options: Further arguments, such as {"width": 32}.

    Raises:
        ModelError: An option is not accepted, or the image is too small.
    """
    if name == _DLIB:
        blocks = _count_blocks(options)
        smallest = smallest_image(blocks)
        if image_size < smallest:
            raise ModelError(
                f"the images are too small for backbone {name!r} with {blocks} blocks",
                expected=f"at least {smallest} px; its weights were trained at 150",
                found=f"{image_size} px",
            )
        return DlibResNet(in_chans, blocks=blocks)

    try:
        return IResNet(IRESNETS[name], image_size, in_chans, **options)
    except TypeError as error:
        raise ModelError(
            f"backbone {name!r} cannot be built with these options",
            expected="width, embedding",
            found=dict(options),
        ) from error


def _count_blocks(options: Mapping[str, Any]) -> int:
    """Blocks of `dlib_resnet`, all unless an option says fewer."""
    blocks = options.get("blocks", DLIB_BLOCKS)
    is_count = type(blocks) is int and 1 <= blocks <= DLIB_BLOCKS
    if not is_count or set(options) - {"blocks"}:
        raise ModelError(
            f"backbone {_DLIB!r} cannot be built with these options",
            expected=f"blocks: 1 to {DLIB_BLOCKS}",
            found=dict(options),
        )
    return blocks
