"""The cache of image embeddings, beside that of text banks.

An entry is filled in pieces, so that work that was cut off goes on where it stopped, and is put in
place whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

from ke2nt.banks.image_recipe import ImageRecipe
from ke2nt.banks.image_rows import Rows, join, read_facts, read_rows, write_rows
from ke2nt.errors import CacheError, DataError
from ke2nt.runtime.atomic import atomic_folder
from ke2nt.runtime.digest import digest_json
from ke2nt.runtime.entries import EntryCache

__all__ = ["Fill", "ImageCache"]

Fill = Callable[[int], Iterator[Rows]]
_NAME = "embeddings"


class ImageCache(EntryCache[Rows]):
    """Image embeddings by recipe.

    Args:
        folder: The cache folder; it is made on the first write.
    """

    kind = "images"

    def read(self, key: str) -> Rows:
        """The embeddings, memory-mapped, checked whole against their digests and their name."""
        recipe = self.facts(key)["recipe"]
        return read_rows(self.path(key) / _NAME, recipe, recipe["count"])

    def facts(self, key: str) -> dict[str, Any]:
        """The JSON of an entry."""
        found = read_facts(self.path(key) / _NAME)
        if digest_json(found["recipe"]) != key:
            raise CacheError(
                "the image embeddings cannot be used",
                where=self.path(key),
                found="they were made from something else than their name says",
            )
        return found

    def fetch(self, recipe: ImageRecipe, piece: int, fill: Fill) -> Rows:
        """The embeddings of a recipe, made and kept if absent; a damaged entry is made anew.

        Args:
            recipe: What they are made from.
            piece: Images that are kept together while the entry is being filled.
            fill: Embeds the images from a position on, piece by piece; called in at most one of
                all processes that ask at the same time.

        Raises:
            CacheError: The cache folder cannot be written.
            DataError: None of the images can be read.
        """

        def make() -> Rows:
            self._fill(recipe, piece, fill)
            return self.read(recipe.key)

        return self.find_or_make(recipe.key, make)[0]

    def _fill(self, recipe: ImageRecipe, piece: int, fill: Fill) -> None:
        facts, begun = recipe.facts(), self.home / f".{recipe.key}.begun"
        stems = [begun / f"{start:09d}" for start in range(0, recipe.count, piece)]
        pieces: list[Rows] = []
        for stem in stems:
            try:
                expected = min(piece, recipe.count - int(stem.name))
                pieces.append(read_rows(stem, facts, expected))
            except CacheError:
                break
        if len(pieces) < len(stems):
            missing = stems[len(pieces) :]
            for stem, rows in zip(missing, fill(int(missing[0].name)), strict=True):
                with self.writing():
                    write_rows(rows, stem, facts)
                pieces.append(rows)
        whole = join(pieces)
        if not len(whole.embeddings):
            raise DataError(
                "no image of the split can be read",
                where=f"{recipe.dataset} {recipe.split}",
                found=next(iter(whole.failed.values())),
            )
        with self.writing(), atomic_folder(self.path(recipe.key)) as aside:
            write_rows(whole, aside / _NAME, facts)
        shutil.rmtree(begun, ignore_errors=True)
