"""A split of a dataset as image embeddings, computed once and kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ke2nt.banks.embed_images import embed_samples
from ke2nt.banks.image_cache import Fill, ImageCache
from ke2nt.banks.image_recipe import ImageRecipe
from ke2nt.banks.image_rows import Rows, join
from ke2nt.banks.split_digest import split_digest
from ke2nt.banks.text_bank import TextBank
from ke2nt.data.sample import FaceSplit
from ke2nt.errors import DataError, ModelError
from ke2nt.evaluation.image_encoders import get_image_encoder
from ke2nt.runtime.cache_folder import cache_folder
from ke2nt.runtime.devices import Precision, resolve_precision
from ke2nt.runtime.distributed import gather_objects, is_main, join_group, rank, world_size
from ke2nt.runtime.progress import track
from ke2nt.vlm.image_encoder import ImageEncoder

__all__ = ["ImageEmbeddings", "check_text", "check_text_weights", "embed_split"]

_PIECE = 512  # about so many images are kept together while a cache entry is being filled


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
        text_weights: Digest of that text encoder, or None where it is not known.
        trained_classes: Classes that a model of this project was trained on, or None.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    classes: tuple[str, ...]
    encoder: str
    text_encoder: str
    logit_scale: float
    failed: tuple[tuple[str, str], ...] = ()
    text_weights: str | None = None
    trained_classes: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.names)


def embed_split(
    encoder: str | ImageEncoder,
    split: FaceSplit,
    *,
    cache_dir: str | Path | None = None,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    precision: Precision = "fp32",
    quiet: bool = True,
) -> ImageEmbeddings:
    """Embed every readable image of a split, or take the embeddings from the cache.

    Where they are in the cache, the image encoder is not loaded. Work that was cut off goes on
    where it stopped. Processes that `torchrun` or `accelerate launch` started share the images,
    each embedded once; the first one keeps them, and all get all of them.

    Args:
        encoder: "open_clip:ARCH/TAG-or-checkpoint", "open_clip:FOLDER",
            "transformers:ID-or-folder", or "run:DIR" for a model trained by this project; or
            an encoder from `get_image_encoder`, which keeps its model loaded once it was needed.
        split: The images.
        cache_dir: Cache folder; `KE2NT_CACHE` or the platform's unless given.
        batch_size: Images a forward pass.
        device: Where to compute; the GPU where there is one unless given.
        precision: "fp32", "bf16" (autocast), or "auto": bf16 where the device computes in it
            natively, fp32 elsewhere.
        quiet: No progress on stderr.

    Raises:
        TextEncoderError: No such vision-language model, or it cannot be loaded.
        CheckpointError: No such run.
        ModelError: No such kind of encoder, or it and its preprocessing do not fit together.
        DataError: The split is empty, or none of its images can be read.
        CacheError: The cache folder cannot be used.
    """
    if len(split) == 0:
        raise DataError("the split is empty", where=f"{split.dataset} {split.split}")
    join_group(device)
    folder = cache_folder(cache_dir)
    model = get_image_encoder(encoder, cache_dir=folder) if isinstance(encoder, str) else encoder
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    bf16 = resolve_precision(precision, where) == "bf16"
    recipe = ImageRecipe(
        encoder=model.id,
        weights=model.weights(),
        preprocessing=model.preprocessing(),
        precision="bf16" if bf16 else "fp32",
        dataset=split.dataset,
        split=split.split,
        images=split_digest(split, folder),
        count=len(split),
    )
    batches = max(1, _PIECE // batch_size)
    piece = batches * batch_size

    def fill(start: int) -> Iterator[Rows]:
        pieces = [split.samples[i : i + piece] for i in range(start, len(split), piece)]
        mine = list(itertools.chain(*pieces[rank() :: world_size()]))
        rows = embed_samples(model, model.load(where), mine, batch_size=batch_size, bf16=bf16)
        label = f"embedding {split.dataset} {split.split}"
        shown = track(rows, label, total=-(-len(mine) // batch_size), quiet=quiet)
        for _ in pieces[:: world_size()]:
            own = list(itertools.islice(shown, batches))
            yield from filter(None, gather_objects(join(own) if own else None))

    rows = _fetch(ImageCache(folder), recipe, piece, fill)
    kept = [i for i in range(len(split)) if i not in rows.failed]
    return ImageEmbeddings(
        embeddings=rows.embeddings,
        labels=split.labels()[kept],
        names=tuple(split.samples[i].name for i in kept),
        classes=tuple(split.classes),
        encoder=encoder if isinstance(encoder, str) else encoder.id,
        text_encoder=model.text_encoder,
        logit_scale=rows.logit_scale,
        failed=tuple((split.samples[i].name, why) for i, why in sorted(rows.failed.items())),
        text_weights=model.text_weights(),
        trained_classes=model.trained_classes,
    )


def _fetch(cache: ImageCache, recipe: ImageRecipe, piece: int, fill: Fill) -> Rows:
    """From the cache; what is not there, all processes make together and the first one keeps."""
    if world_size() == 1:
        return cache.fetch(recipe, piece, fill)
    if is_main():

        def announced(start: int) -> Iterator[Rows]:
            gather_objects(start)
            yield from fill(start)

        rows = cache.fetch(recipe, piece, announced)
        gather_objects(None)
        return rows
    start = gather_objects(None)[0]
    if start is not None:
        for _ in fill(start):
            pass
        gather_objects(None)
    return cache.fetch(recipe, piece, fill)


def check_text(images: ImageEmbeddings, bank: TextBank) -> None:
    """Raise ModelError unless text embeddings come from the encoder that shares the images' space.

    Args:
        images: Image embeddings (N, D).
        bank: Text embeddings; a bank of tensors is checked by its width alone.
    """
    if bank.dim != images.embeddings.shape[1]:
        raise ModelError(
            "text and image embeddings differ in width",
            expected=images.embeddings.shape[1],
            found=bank.dim,
            where=images.encoder,
        )
    name = str(bank.provenance.get("encoder"))
    check_text_weights(images, name, bank.provenance.get("weights"))


def check_text_weights(images: ImageEmbeddings, encoder: str, weights: str | None) -> None:
    """Raise ModelError where a text encoder is known not to share the images' space.

    Args:
        images: Image embeddings.
        encoder: Name of the text encoder.
        weights: Digest of its weights, or None where that is not known.
    """
    if images.text_weights and weights and weights != images.text_weights:
        raise ModelError(
            "the text encoder is not the one that shares the image encoder's space",
            expected=f"weights {images.text_weights[:16]}…",
            found=f"{encoder} with weights {weights[:16]}…",
            where=images.encoder,
        )
