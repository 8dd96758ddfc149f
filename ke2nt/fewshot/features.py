"""Embeddings of the images that an experiment draws, each embedded once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ke2nt.data.sample import FaceSplit
from ke2nt.evaluation.embed_split import ImageEmbeddings, embed_split
from ke2nt.fewshot.draws import Draw, Pools, draw_all
from ke2nt.fewshot.names import Shots
from ke2nt.vlm.base import ImageEncoder

__all__ = ["EmbeddedDraws", "Features", "embed_draws", "to_features"]


class Features(NamedTuple):
    """Embedded images.

    Attributes:
        embeddings: float32 (N, D), unit norm.
        labels: int64 (N,).
    """

    embeddings: Tensor
    labels: Tensor


class EmbeddedDraws(NamedTuple):
    """Draws, and the embeddings of their images.

    Attributes:
        draws: One for each number of shots and seed; all of their images are readable.
        features: Training and validation images of each draw.
        failed: Name → reason of every image that could not be read; others were drawn instead.
    """

    draws: list[Draw]
    features: list[tuple[Features, Features]]
    failed: dict[str, str]


def embed_draws(
    encoder: ImageEncoder,
    pools: Pools,
    shots: Iterable[Shots],
    seeds: Iterable[int],
    options: dict[str, Any],
) -> EmbeddedDraws:
    """Draw images and embed those that are drawn, and no others.

    Args:
        encoder: The frozen encoder.
        pools: Images to draw from.
        shots: Images of each class, and "all".
        seeds: Seeds of the draws.
        options: Keyword arguments of `embed_split`.

    Raises:
        DataError: A class has fewer readable images than shots.
    """
    shots, seeds = tuple(shots), tuple(seeds)
    train, validation = (
        _PoolEmbedder(encoder, pool, options) for pool in (pools.train, pools.validation)
    )

    # an unreadable image is left out of its pool and another one drawn, until all can be read
    while True:
        readable = replace(pools, train=train.readable(), validation=validation.readable())
        draws = draw_all(readable, shots, seeds)
        known = len(train.failed) + len(validation.failed)
        train.embed(draw.train for draw in draws)
        validation.embed(draw.validation for draw in draws)
        if len(train.failed) + len(validation.failed) == known:
            break

    features = [(train.features(d.train), validation.features(d.validation)) for d in draws]
    return EmbeddedDraws(draws, features, {**train.failed, **validation.failed})


def to_features(images: ImageEmbeddings) -> Features:
    """Convert the embeddings of a split; they are copied out of the cache's read-only file."""
    embeddings = np.array(images.embeddings, dtype=np.float32)
    return Features(torch.from_numpy(embeddings), torch.from_numpy(np.array(images.labels)))


class _PoolEmbedder:
    """Embeds images of a pool when they are drawn for the first time."""

    def __init__(self, encoder: ImageEncoder, pool: FaceSplit, options: dict[str, Any]) -> None:
        self._encoder, self._pool, self._options = encoder, pool, options
        self._rows: dict[str, np.ndarray] = {}
        self.failed: dict[str, str] = {}

    def readable(self) -> FaceSplit:
        """The pool without images that could not be read."""
        samples = self._pool.samples
        return self._pool.subset(i for i, s in enumerate(samples) if s.name not in self.failed)

    def embed(self, parts: Iterable[FaceSplit]) -> None:
        """Embed the images of some parts of the pool that are not embedded yet."""
        drawn = {sample.name for part in parts for sample in part.samples}
        new = drawn - self._rows.keys()
        if not new:
            return

        # in the order of the pool, so that the same draws make the same entry of the cache
        samples = self._pool.samples
        needed = self._pool.subset(i for i, s in enumerate(samples) if s.name in new)
        images = embed_split(self._encoder, needed, **self._options)
        self._rows.update(zip(images.names, np.asarray(images.embeddings), strict=True))
        self.failed.update(images.failed)

    def features(self, part: FaceSplit) -> Features:
        """Embeddings of a part of the pool."""
        rows = np.stack([self._rows[sample.name] for sample in part.samples])
        return Features(torch.from_numpy(rows), torch.from_numpy(part.labels()))
