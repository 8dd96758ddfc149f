"""Embeddings of some images on disk: rows as .npy, facts as JSON, each guarded by a digest."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ke2nt.banks.sealed_json import read_sealed, write_sealed
from ke2nt.errors import CacheError
from ke2nt.runtime.atomic import write_bytes
from ke2nt.runtime.digest import digest_bytes, digest_file

__all__ = [
    "EmbeddedImages",
    "join_embedded",
    "read_embedded",
    "read_embedded_facts",
    "write_embedded",
]

# what wrong content can raise while it is read and checked
_PROBLEMS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    EOFError,
    RecursionError,
)


@dataclass(frozen=True, eq=False)
class EmbeddedImages:
    """Embeddings of some images, and the reasons why others have none.

    Attributes:
        embeddings: float32 (N, D), unit norm.
        failed: Position among the images → why it cannot be read.
        logit_scale: Logit scale of the encoder.
    """

    embeddings: np.ndarray
    failed: dict[int, str]
    logit_scale: float

    @property
    def count(self) -> int:
        """Number of images, unreadable ones included."""
        return len(self.embeddings) + len(self.failed)


def join_embedded(parts: Sequence[EmbeddedImages]) -> EmbeddedImages:
    """Join consecutive parts, at least one."""
    arrays: list[np.ndarray] = []
    failed: dict[int, str] = {}
    start = 0
    for part in parts:
        # a part without readable images has width 0
        if len(part.embeddings):
            arrays.append(part.embeddings)
        for position, reason in part.failed.items():
            failed[start + position] = reason
        start += part.count

    last = parts[-1]
    return EmbeddedImages(np.concatenate(arrays or [last.embeddings]), failed, last.logit_scale)


def write_embedded(images: EmbeddedImages, stem: Path, recipe: dict[str, Any]) -> None:
    """Write `stem`.npy, then `stem`.json with its digest.

    Args:
        images: The content.
        stem: Path without a suffix.
        recipe: Facts of the recipe that the images belong to.
    """
    # in memory first, because the JSON needs the digest
    data = io.BytesIO()
    np.save(data, np.ascontiguousarray(images.embeddings, dtype=np.float32))
    write_bytes(stem.with_suffix(".npy"), data.getvalue())
    write_sealed(
        stem.with_suffix(".json"),
        {
            "recipe": recipe,
            "count": images.count,
            "failed": {str(position): reason for position, reason in images.failed.items()},
            "logit_scale": float(images.logit_scale),
            "embeddings_sha256": digest_bytes(data.getvalue()),
        },
    )


def read_embedded_facts(stem: Path) -> dict[str, Any]:
    """Read and check the JSON that `write_embedded` wrote.

    Raises:
        CacheError: It is absent, altered, or something else.
    """
    try:
        facts = read_sealed(stem.with_suffix(".json"))
        return {**facts, "recipe": dict(facts["recipe"])}
    except _PROBLEMS as error:
        raise _unusable(stem, error) from error


def read_embedded(stem: Path, recipe: dict[str, Any], count: int) -> EmbeddedImages:
    """Read what `write_embedded` wrote, memory-mapped; nothing in it is trusted.

    Args:
        stem: Path without a suffix.
        recipe: Facts of the recipe that the images must belong to.
        count: Number of images, unreadable ones included.

    Raises:
        CacheError: A file is absent, altered, or of another recipe.
    """
    facts = read_embedded_facts(stem)
    try:
        if (facts["recipe"], facts["count"]) != (recipe, count):
            raise ValueError("they were made from another recipe than their name says")

        array_file = stem.with_suffix(".npy")
        if digest_file(array_file) != facts["embeddings_sha256"]:
            raise ValueError("the embeddings were truncated or altered")
        embeddings = np.load(array_file, mmap_mode="r", allow_pickle=False)

        # JSON has only text as keys
        failed = {int(position): str(reason) for position, reason in facts["failed"].items()}
        images = EmbeddedImages(embeddings, failed, float(facts["logit_scale"]))
        if embeddings.ndim != 2 or embeddings.dtype != np.float32 or images.count != count:
            raise ValueError("rows and images do not match")
        return images
    except _PROBLEMS as error:
        raise _unusable(stem, error) from error


def _unusable(stem: Path, error: Exception) -> CacheError:
    return CacheError("the image embeddings cannot be used", where=stem.parent, found=str(error))
