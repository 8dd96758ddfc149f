"""The cache of image embeddings, beside that of text banks: one folder an entry.

An entry is filled in pieces, so that work that was cut off goes on where it stopped, and is put in
place whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from ke2nt.errors import CacheError, DataError
from ke2nt.runtime.atomic import atomic_folder
from ke2nt.runtime.progress import stderr_console
from ke2nt.vision.entry import Rows, join, read_rows, write_rows
from ke2nt.vision.recipe import ImageRecipe

__all__ = ["ImageCache"]

Fill = Callable[[int], Iterator[Rows]]
_NAME = "embeddings"


class ImageCache:
    """Image embeddings by recipe. Reading trusts nothing; one process at a time fills an entry.

    Args:
        folder: The cache folder; it is made on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._images = folder / "images"

    def path(self, key: str) -> Path:
        """Folder of an entry."""
        return self._images / key

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
        if (rows := self._find(recipe)) is not None:
            return rows
        with self._lock(recipe.key):
            if (rows := self._find(recipe, warn=True)) is not None:
                return rows
            try:
                self._fill(recipe, piece, fill)
            except OSError as error:
                raise self._unusable(error) from error
            return read_rows(self.path(recipe.key) / _NAME, recipe.facts(), recipe.count)

    def _fill(self, recipe: ImageRecipe, piece: int, fill: Fill) -> None:
        facts, begun = recipe.facts(), self._images / f".{recipe.key}.begun"
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
                write_rows(rows, stem, facts)
                pieces.append(rows)
        whole = join(pieces)
        if not len(whole.embeddings):
            raise DataError(
                "no image of the split can be read",
                where=f"{recipe.dataset} {recipe.split}",
                found=next(iter(whole.failed.values())),
            )
        with atomic_folder(self.path(recipe.key)) as aside:
            write_rows(whole, aside / _NAME, facts)
        shutil.rmtree(begun, ignore_errors=True)

    def _find(self, recipe: ImageRecipe, *, warn: bool = False) -> Rows | None:
        folder = self.path(recipe.key)
        if not folder.is_dir():
            return None
        try:
            return read_rows(folder / _NAME, recipe.facts(), recipe.count)
        except CacheError as error:
            if warn:
                stderr_console().print(
                    f"warning: damaged cache entry, made anew: {error}", markup=False
                )
            return None

    @contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        lock = FileLock(self.folder / "locks" / f"{key}.lock")
        try:
            (self.folder / "locks").mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise self._unusable(error) from error
        try:
            yield
        finally:
            lock.release()

    def _unusable(self, error: OSError) -> CacheError:
        return CacheError(
            "the cache folder cannot be written",
            where=self.folder,
            found=error.strerror or error,
            hint="Name another one with --cache-dir or KE2NT_CACHE.",
        )
