"""The cache of image embeddings, beside that of text banks.

An entry is filled in pieces, so that interrupted work can be resumed, and is put in place whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ke2nt.banks.cache import EntryCache, Recipe
from ke2nt.banks.image_files import (
    EmbeddedImages,
    join_embedded,
    read_embedded,
    read_embedded_facts,
    write_embedded,
)
from ke2nt.errors import CacheError, DataError
from ke2nt.runtime.atomic import atomic_folder
from ke2nt.runtime.digest import digest_json

__all__ = ["Fill", "ImageCache", "ImageRecipe"]

FORMAT_VERSION = 1
Fill = Callable[[int], Iterator[EmbeddedImages]]
"""From the position of the first missing image to embeddings of the rest, piece by piece."""
_NAME = "embeddings"


@dataclass(frozen=True, slots=True)
class ImageRecipe(Recipe):
    """Everything that decides the content of an entry.

    Attributes:
        encoder: Id of the image encoder, such as "open_clip:ViT-B-16/openai".
        weights: Digest of its weights.
        preprocessing: From pixels to its input, plain JSON.
        precision: "fp32", or "bf16" for bfloat16 autocast.
        dataset: Name of the dataset.
        split: Name of the split.
        images: Digest of the names and contents of the images, in order.
        count: Number of images, unreadable ones included.
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


class ImageCache(EntryCache[EmbeddedImages]):
    """Image embeddings by recipe.

    Args:
        folder: The cache folder; it is created by the first write.
    """

    kind = "images"

    def read(self, key: str) -> EmbeddedImages:
        """Read the embeddings, memory-mapped, and check them against digests and name."""
        recipe = self.read_facts(key)["recipe"]
        return read_embedded(self.path(key) / _NAME, recipe, recipe["count"])

    def read_facts(self, key: str) -> dict[str, Any]:
        """Read and check the JSON of an entry."""
        facts = read_embedded_facts(self.path(key) / _NAME)
        if digest_json(facts["recipe"]) != key:
            raise CacheError(
                "the image embeddings cannot be used",
                where=self.path(key),
                found="they were made from another recipe than their name says",
            )
        return facts

    def fetch(self, recipe: ImageRecipe, piece: int, fill: Fill) -> EmbeddedImages:
        """Return the embeddings of a recipe; absent or damaged ones are made and stored.

        Args:
            recipe: What they are made from.
            piece: Images that are stored together while the entry is being filled.
            fill: Embeds the images from a position on, piece by piece. Of all processes that ask
                at the same time, at most one calls it.

        Raises:
            CacheError: The cache folder cannot be written.
            DataError: None of the images can be read.
        """

        def make() -> EmbeddedImages:
            self._fill(recipe, piece, fill)
            return self.read(recipe.key)

        return self.find_or_make(recipe.key, make)[0]

    def _fill(self, recipe: ImageRecipe, piece: int, fill: Fill) -> None:
        """Make an entry from the stored pieces of interrupted work and from new ones."""
        facts = recipe.facts()
        unfinished = self.home / f".{recipe.key}.begun"
        starts = range(0, recipe.count, piece)
        stems = [unfinished / f"{start:09d}" for start in starts]
        sizes = [min(piece, recipe.count - start) for start in starts]

        # continue after the pieces that an interrupted process has stored
        pieces = _read_pieces(stems, sizes, facts)
        missing = stems[len(pieces) :]
        if missing:
            start = starts[len(pieces)]
            for stem, images in zip(missing, fill(start), strict=True):
                with self.writing():
                    write_embedded(images, stem, facts)
                pieces.append(images)

        # readers see nothing before the whole entry is renamed into place
        whole = join_embedded(pieces)
        if not len(whole.embeddings):
            raise DataError(
                "no image of the split can be read",
                where=f"{recipe.dataset} {recipe.split}",
                found=next(iter(whole.failed.values())),
            )
        with self.writing(), atomic_folder(self.path(recipe.key)) as folder:
            write_embedded(whole, folder / _NAME, facts)
        shutil.rmtree(unfinished, ignore_errors=True)


def _read_pieces(
    stems: list[Path], sizes: list[int], facts: dict[str, Any]
) -> list[EmbeddedImages]:
    """The stored pieces up to the first one that is absent or damaged."""
    pieces: list[EmbeddedImages] = []
    for stem, size in zip(stems, sizes, strict=True):
        try:
            pieces.append(read_embedded(stem, facts, size))
        except CacheError:
            break
    return pieces
