"""Image towers of vision-language models: modules to train, and data to build them again."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from torch import Tensor, nn

from ke2nt.errors import CheckpointError, ModelError
from ke2nt.vlm.image_preprocessing import ImagePreprocessing

__all__ = ["ImageTower", "TowerFacts", "cells_of_tokens", "check_patches"]


@dataclass(frozen=True, slots=True)
class TowerFacts:
    """An image tower as data, from which it is built again without the files it came from.

    Attributes:
        id: Name of the model; it holds no folder of this machine.
        library: "open_clip" or "transformers".
        config: Architecture under the library's names, plain JSON.
        preprocessing: From pixels to the input.
        weights: Digest of the model that the weights came from, as banks of its text tower name it.
        logit_scale: Factor on cosine similarities that the model was trained with.
        logit_bias: Offset that SigLIP-like models add to their logits, or None.
    """

    id: str
    library: str
    config: Mapping[str, Any]
    preprocessing: ImagePreprocessing
    weights: str
    logit_scale: float
    logit_bias: float | None = None

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return self.preprocessing.size[0]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {**asdict(self), "preprocessing": self.preprocessing.to_dict()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises:
            CheckpointError: A key is unknown or absent.
        """
        try:
            pixels = dict(value["preprocessing"])
            for name in ("size", "mean", "std"):
                pixels[name] = tuple(pixels[name])
            return cls(**{**value, "preprocessing": ImagePreprocessing(**pixels)})
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError("the stored image tower is not valid", found=error) from error


class ImageTower(nn.Module, ABC):
    """Image tower with its projection: normalized images (B, 3, H, W) → embeddings (B, D).

    Attributes:
        feature_info: For each block or stage, shallow to deep: its name ("module") and the pixels
            per cell along a side of its feature map ("reduction"), as timm's models have them.
            Empty if the family is not known.
    """

    feature_info: list[dict[str, Any]]

    @abstractmethod
    def forward_intermediates(self, images: Tensor, indices: Sequence[int], **form: Any) -> Any:
        """Feature maps (B, C_i, h_i, w_i) of some blocks, under the arguments of timm's models."""

    @abstractmethod
    def prune_intermediate_layers(
        self, indices: Sequence[int], prune_norm: bool = False, prune_head: bool = True
    ) -> None:
        """Remove the layers behind the last block, which feature maps do not need."""


def cells_of_tokens(tokens: Tensor, prefix: int) -> Tensor:
    """(B, N, C) tokens, `prefix` of them for no cell → (B, C, h, w)."""
    cells = tokens[:, prefix:].transpose(1, 2)
    side = math.isqrt(cells.shape[2])
    return cells.unflatten(2, (side, side)).contiguous()


def check_patches(size: int, patch: int, *, where: str) -> None:
    """Check that an image size is a whole number of patches.

    Raises:
        ModelError: Pixels at the border would be left out.
    """
    if size % patch:
        raise ModelError(
            f"the image size does not fit the patches of {where}",
            expected=f"a multiple of {patch}",
            found=size,
            hint="model.image_size=null takes that of the tower.",
        )
