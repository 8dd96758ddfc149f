"""A split of a dataset as image embeddings, computed once and kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ke2nt.data.sample import FaceSplit
from ke2nt.vision.cache import ImageCache
from ke2nt.vision.compute import Precision, embed_images
from ke2nt.vision.content_digest import ContentDigests
from ke2nt.vision.encoder import get_image_encoder
from ke2nt.vision.recipe import ImageRecipe
from ke2nt.text.folders import cache_folder

__all__ = ["ImageEmbeddings", "embed_split"]


@dataclass(frozen=True, eq=False)
class ImageEmbeddings:
    """Image embeddings of the N readable images of a split, in split order.

    Attributes:
        embeddings: float32 (N, D), unit norm; memory-mapped and read-only where it was cached.
        labels: int64 (N,), class indices in `classes`.
        names: N sample names.
        classes: The label set of the data.
        encoder: Image encoder, as it was asked for.
        text_encoder: Name of the text encoder whose embeddings these may be compared with.
        logit_scale: Factor on cosine similarities that the encoder was trained with.
        failed: (name, reason) of every image that could not be read; none of them is among the N.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    classes: tuple[str, ...]
    encoder: str
    text_encoder: str
    logit_scale: float
    failed: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.names)


def embed_split(
    encoder: str,
    split: FaceSplit,
    *,
    cache_dir: str | Path | None = None,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    precision: Precision = "auto",
    quiet: bool = True,
) -> ImageEmbeddings:
    """Embed every readable image of a split, or take the embeddings from the cache.

    Where they are in the cache, the image encoder is not loaded. Work that was cut off goes on
    where it stopped.

    Args:
        encoder: "open_clip:ARCH/TAG-or-checkpoint", "open_clip:FOLDER",
            "transformers:ID-or-folder", or "run:DIR" for a model trained by this project.
        split: The images.
        cache_dir: Cache folder; `KE2NT_CACHE` or the platform's unless given.
        batch_size: Images a forward pass.
        device: Where to compute; the GPU where there is one unless given.
        precision: "fp32", "bf16" (autocast), or "auto": bf16 on CUDA, fp32 elsewhere.
        quiet: No progress on stderr.

    Raises:
        TextEncoderError: No such encoder, or it cannot be loaded.
        ModelError: The encoder and its preprocessing do not belong together.
        DataError: The split is empty, or none of its images can be read.
        CacheError: The cache folder cannot be used.
    """
    raise AssertionError
