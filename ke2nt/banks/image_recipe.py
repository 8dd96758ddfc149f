"""What image embeddings are made from, and the key that follows from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from ke2nt.runtime.digest import canonical_json, digest_json

__all__ = ["FORMAT_VERSION", "ImageRecipe"]

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class ImageRecipe:
    """Everything that decides the content of an entry.

    Attributes:
        encoder: Id of the image encoder, such as "open_clip:ViT-B-16/openai".
        weights: Digest of its weights.
        preprocessing: From pixels to its input, plain JSON.
        precision: "fp32", or "bf16" for bfloat16 autocast.
        dataset: Name of the dataset.
        split: Name of the split.
        images: Digest of the names and contents of the images, in order.
        count: Number of images, unreadable ones among them.
        version: Version of the file format.
    """

    encoder: str
    weights: str
    preprocessing: dict[str, Any]
    precision: str
    dataset: str
    split: str
    images: str
    count: int
    version: int = FORMAT_VERSION

    def facts(self) -> dict[str, Any]:
        """The recipe as plain JSON."""
        return json.loads(canonical_json(asdict(self)))

    @property
    def key(self) -> str:
        """Hex SHA-256 of the recipe."""
        return digest_json(self.facts())
