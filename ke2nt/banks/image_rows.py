"""One entry of the image cache on disk: rows as .npy, facts as JSON, each guarded by a digest."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ke2nt.errors import CacheError
from ke2nt.runtime.atomic import write_bytes, write_json
from ke2nt.runtime.digest import digest_bytes, digest_file, digest_json

__all__ = ["Rows", "join", "read_facts", "read_rows", "write_rows"]


@dataclass(frozen=True, eq=False)
class Rows:
    """Embeddings of some images, and the reasons why others have none.

    Attributes:
        embeddings: float32 (N, D), unit norm.
        failed: Position among the images → why it cannot be read.
        logit_scale: The encoder's own.
    """

    embeddings: np.ndarray
    failed: dict[int, str]
    logit_scale: float

    @property
    def count(self) -> int:
        """Images that the rows are of, unreadable ones among them."""
        return len(self.embeddings) + len(self.failed)


def join(parts: Iterable[Rows]) -> Rows:
    """Consecutive parts as one; there is at least one."""
    arrays: list[np.ndarray] = []
    failed: dict[int, str] = {}
    start = 0
    for part in parts:
        arrays += [part.embeddings] if len(part.embeddings) else []
        failed |= {start + position: reason for position, reason in part.failed.items()}
        start += part.count
    return Rows(np.concatenate(arrays or [part.embeddings]), failed, part.logit_scale)


def write_rows(rows: Rows, stem: Path, recipe: dict[str, Any]) -> None:
    """Write `stem`.npy, then `stem`.json with its digest.

    Args:
        rows: The content.
        stem: Path without a suffix.
        recipe: Facts of the recipe that the rows belong to.
    """
    data = io.BytesIO()
    np.save(data, np.ascontiguousarray(rows.embeddings, dtype=np.float32))
    body = {
        "recipe": recipe,
        "count": rows.count,
        "failed": {str(position): reason for position, reason in rows.failed.items()},
        "logit_scale": float(rows.logit_scale),
        "embeddings_sha256": digest_bytes(data.getvalue()),
    }
    write_bytes(stem.with_suffix(".npy"), data.getvalue())
    write_json(stem.with_suffix(".json"), {**body, "facts_sha256": digest_json(body)})


def read_facts(stem: Path) -> dict[str, Any]:
    """Read and check the JSON that `write_rows` wrote.

    Raises:
        CacheError: It is absent, altered, or something else.
    """
    try:
        body = json.loads(stem.with_suffix(".json").read_bytes())
        if not isinstance(body, dict) or body.pop("facts_sha256", None) != digest_json(body):
            raise ValueError("the facts were truncated or altered")
        return {**body, "recipe": dict(body["recipe"])}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unusable(stem, error) from error


def read_rows(stem: Path, recipe: dict[str, Any], count: int) -> Rows:
    """Read what `write_rows` wrote, the embeddings memory-mapped; nothing in it is trusted.

    Raises:
        CacheError: A file is absent, altered, or of another recipe.
    """
    numbers, body = stem.with_suffix(".npy"), read_facts(stem)
    try:
        if (body["recipe"], body["count"]) != (recipe, count):
            raise ValueError("it was made from something else than its name says")
        if digest_file(numbers) != body["embeddings_sha256"]:
            raise ValueError("the embeddings were truncated or altered")
        embeddings = np.load(numbers, mmap_mode="r", allow_pickle=False)
        failed = {int(position): str(reason) for position, reason in body["failed"].items()}
        rows = Rows(embeddings, failed, float(body["logit_scale"]))
        if embeddings.ndim != 2 or embeddings.dtype != np.float32 or rows.count != count:
            raise ValueError("rows and images do not match")
        return rows
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        EOFError,
    ) as error:
        raise _unusable(stem, error) from error


def _unusable(stem: Path, error: Exception) -> CacheError:
    return CacheError("the image embeddings cannot be used", where=stem.parent, found=str(error))
