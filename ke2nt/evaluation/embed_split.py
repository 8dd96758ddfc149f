"""A split of a dataset as image embeddings, computed once and kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ke2nt.banks.embed_samples import embed_samples
from ke2nt.banks.image_cache import Fill, ImageCache, ImageRecipe
from ke2nt.banks.image_files import EmbeddedImages, join_embedded
from ke2nt.banks.split_digest import split_digest
from ke2nt.banks.text_bank import TextBank
from ke2nt.data.sample import FaceSplit
from ke2nt.errors import DataError, ModelError
from ke2nt.evaluation.image_encoders import get_image_encoder
from ke2nt.runtime.cache_folder import cache_folder
from ke2nt.runtime.devices import Precision, resolve_precision
from ke2nt.runtime.distributed import gather_objects, is_main, join_group, rank, world_size
from ke2nt.runtime.progress import track
from ke2nt.vlm.base import ImageEncoder

__all__ = ["ImageEmbeddings", "check_text", "check_text_weights", "embed_split"]

_PIECE = 512  # about so many images are stored together while a cache entry is being filled


@dataclass(frozen=True, eq=False)
class ImageEmbeddings:
    """Image embeddings of the N readable images of a split, in split order.

    Attributes:
        embeddings: float32 (N, D), unit norm; memory-mapped and read-only if it was cached.
        labels: int64 (N,), class indices in `classes`.
        names: N sample names.
        classes: The label set of the data.
        encoder: Image encoder, as it was requested.
        text_encoder: Name of the text encoder whose embeddings these can be compared with.
        logit_scale: Factor on cosine similarities that the encoder was trained with.
        failed: (name, reason) of every image that could not be read; none of them is among the N.
        text_weights: Digest of that text encoder, or None if it is unknown.
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

    If they are in the cache, the image encoder is not loaded. Interrupted work is resumed.
    Processes started by `torchrun` or `accelerate launch` share the images: each image is embedded
    once, the main process stores the embeddings, and every process gets all of them.

    Args:
        encoder: "open_clip:ARCH/TAG-or-checkpoint", "open_clip:FOLDER",
            "transformers:ID-or-folder", or "run:DIR" for a model trained by this project; or
            an encoder from `get_image_encoder`, which keeps its model loaded once it was needed.
        split: The images.
        cache_dir: Cache folder; None for `KE2NT_CACHE` or the platform's.
        batch_size: Images in a forward pass.
        device: Where to compute; None for the GPU if there is one.
        precision: "fp32", "bf16" (autocast), or "auto": bf16 where the device computes in it
            natively, fp32 elsewhere.
        quiet: No progress on stderr.

    Raises:
        TextEncoderError: No such vision-language model, or it cannot be loaded.
        CheckpointError: No such run.
        ModelError: No such kind of encoder, or it does not fit its preprocessing.
        DataError: The split is empty, or none of its images can be read.
        CacheError: The cache folder cannot be used.
    """
    if len(split) == 0:
        raise DataError("the split is empty", where=f"{split.dataset} {split.split}")

    # processes of a launcher share the images
    join_group(device)
    folder = cache_folder(cache_dir)
    model = get_image_encoder(encoder, cache_dir=folder) if isinstance(encoder, str) else encoder
    job = _Job(
        model,
        split,
        device=torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")),
        batch_size=batch_size,
        precision=precision,
        quiet=quiet,
    )
    images = _fetch(ImageCache(folder), job.recipe(folder), job.piece, job.fill)

    # unreadable images have no row; labels and names follow the rows
    readable = [i for i in range(len(split)) if i not in images.failed]
    failed = ((split.samples[i].name, reason) for i, reason in sorted(images.failed.items()))
    return ImageEmbeddings(
        embeddings=images.embeddings,
        labels=split.labels()[readable],
        names=tuple(split.samples[i].name for i in readable),
        classes=tuple(split.classes),
        encoder=encoder if isinstance(encoder, str) else encoder.id,
        text_encoder=model.text_encoder,
        logit_scale=images.logit_scale,
        failed=tuple(failed),
        text_weights=model.text_weights(),
        trained_classes=model.trained_classes,
    )


class _Job:
    """One split to embed with one encoder."""

    def __init__(
        self,
        encoder: ImageEncoder,
        split: FaceSplit,
        *,
        device: torch.device,
        batch_size: int,
        precision: Precision,
        quiet: bool,
    ) -> None:
        self._encoder = encoder
        self._split = split
        self._device = device
        self._bf16 = resolve_precision(precision, device) == "bf16"
        self._batch_size = batch_size
        self._quiet = quiet

        # images of a piece: a whole number of batches
        self._batches_per_piece = max(1, _PIECE // batch_size)
        self.piece = self._batches_per_piece * batch_size

    def recipe(self, folder: Path) -> ImageRecipe:
        """Everything that decides the embeddings; file digests are remembered in `folder`."""
        return ImageRecipe(
            encoder=self._encoder.id,
            weights=self._encoder.weights(),
            preprocessing=self._encoder.preprocessing_facts(),
            precision="bf16" if self._bf16 else "fp32",
            dataset=self._split.dataset,
            split=self._split.split,
            images=split_digest(self._split, folder),
            count=len(self._split),
        )

    def fill(self, start: int) -> Iterator[EmbeddedImages]:
        """Embed the images from a position on; each process yields the pieces of all of them."""
        samples = self._split.samples
        pieces = [samples[i : i + self.piece] for i in range(start, len(samples), self.piece)]

        # pieces are dealt to the processes in turn
        mine = list(itertools.chain(*pieces[rank() :: world_size()]))
        self._encoder.load(self._device)
        batches = embed_samples(
            self._encoder,
            mine,
            batch_size=self._batch_size,
            device=self._device,
            bf16=self._bf16,
        )
        label = f"embedding {self._split.dataset} {self._split.split}"
        total = -(-len(mine) // self._batch_size)
        tracked = track(batches, label, total=total, quiet=self._quiet)

        # every round gathers one piece of each process; the last ones may have none
        for _ in pieces[:: world_size()]:
            parts = list(itertools.islice(tracked, self._batches_per_piece))
            gathered = gather_objects(join_embedded(parts) if parts else None)
            yield from (piece for piece in gathered if piece is not None)


def _fetch(cache: ImageCache, recipe: ImageRecipe, piece: int, fill: Fill) -> EmbeddedImages:
    """From the cache; all processes embed what is absent, and the main process stores it."""
    if world_size() == 1:
        return cache.fetch(recipe, piece, fill)

    if is_main():

        def announce_and_fill(start: int) -> Iterator[EmbeddedImages]:
            gather_objects(start)
            yield from fill(start)

        images = cache.fetch(recipe, piece, announce_and_fill)
        gather_objects(None)
        return images

    # the main process announces where to start, or None if nothing is absent
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
        bank: Text embeddings; a bank created from tensors is checked by its width alone.
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
    """Raise ModelError if a text encoder is known not to share the images' space.

    Args:
        images: Image embeddings.
        encoder: Name of the text encoder.
        weights: Digest of its weights, or None if it is unknown.
    """
    if images.text_weights and weights and weights != images.text_weights:
        raise ModelError(
            "the text encoder is not the one that shares the image encoder's space",
            expected=f"weights {images.text_weights[:16]}…",
            found=f"{encoder} with weights {weights[:16]}…",
            where=images.encoder,
        )
