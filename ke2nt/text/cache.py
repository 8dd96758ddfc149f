"""The cache of text banks: one folder an entry, named by the digest of what it was made from."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from ke2nt.errors import CacheError
from ke2nt.runtime.atomic import atomic_folder
from ke2nt.runtime.progress import stderr_console
from ke2nt.text.bank_files import FACTS, TENSORS, read_bank, read_facts, write_bank
from ke2nt.text.content import BankContent
from ke2nt.text.recipe import Recipe

__all__ = ["BankCache", "Entry"]

_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry on disk.

    Attributes:
        key: Its name: the digest of its recipe.
        path: Its folder.
        modified: Time of its last change, in seconds since 1970.
        size: Bytes of its files.
        facts: Its JSON, or None where that cannot be used.
        problem: Why it cannot be used, or None.
    """

    key: str
    path: Path
    modified: float
    size: int
    facts: dict[str, Any] | None
    problem: str | None


class BankCache:
    """Text banks by recipe. Reading trusts nothing; writing is atomic and done by one process.

    Args:
        folder: The cache folder; it is made on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._banks = folder / "banks"

    def path(self, key: str) -> Path:
        """Folder of an entry."""
        return self._banks / key

    def read(self, key: str) -> BankContent:
        """Read an entry.

        Raises:
            CacheError: It is absent, damaged, or made from another recipe than its name says.
        """
        folder = self.path(key)
        content = read_bank(folder / TENSORS, folder / FACTS, error=CacheError)
        _check_recipe(content.provenance, key, content.classes, folder)
        return content

    def fetch(self, recipe: Recipe, make: Callable[[], BankContent]) -> tuple[BankContent, bool]:
        """The bank of a recipe, made and kept if absent; a damaged entry is named and made anew.

        Args:
            recipe: What the bank is made from.
            make: Makes it; called in at most one of all processes that ask at the same time.

        Returns:
            The bank, and whether it was in the cache.

        Raises:
            CacheError: The cache folder cannot be written.
        """
        key = recipe.key
        if (content := self._find(key)) is not None:
            return content, True
        with self._lock(key):
            if (content := self._find(key, warn=True)) is not None:
                return content, True
            content = make()
            try:
                with atomic_folder(self.path(key)) as aside:
                    write_bank(content, aside / TENSORS, aside / FACTS)
            except OSError as error:
                raise self._unusable(error) from error
        return content, False

    def find_by_words(self, recipe: Recipe) -> tuple[str, BankContent] | None:
        """The newest sound entry of the same encoder name, prompts and rules, and its key."""
        for entry in sorted(self.entries(), key=lambda entry: -entry.modified):
            if entry.facts is None:
                continue
            if Recipe.from_facts(entry.facts["provenance"]).same_words(recipe):
                content = self._find(entry.key, warn=True)
                if content is not None:
                    return entry.key, content
        return None

    def entries(self) -> Iterator[Entry]:
        """Every entry, by key; only the JSON is read and checked."""
        if not self._banks.is_dir():
            return
        for folder in sorted(self._banks.iterdir()):
            if not (_KEY.fullmatch(folder.name) and folder.is_dir()):
                continue
            facts, problem = None, None
            try:
                found = read_facts(folder / FACTS, error=CacheError)
                _check_recipe(found["provenance"], folder.name, tuple(found["classes"]), folder)
                facts = found
            except CacheError as error:
                problem = str(error)
            try:
                modified = folder.stat().st_mtime
                size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
            except FileNotFoundError:  # another process has just deleted it
                continue
            yield Entry(folder.name, folder, modified, size, facts, problem)

    def leftovers(self) -> list[Path]:
        """Folders of writes that were cut off."""
        return sorted(self._banks.glob(".*")) if self._banks.is_dir() else []

    def resolve(self, prefix: str) -> Entry:
        """The entry whose key starts with some characters.

        Raises:
            CacheError: There is none, or more than one.
        """
        found = [entry for entry in self.entries() if prefix and entry.key.startswith(prefix)]
        if len(found) != 1:
            raise CacheError(
                f"{len(found) or 'no'} cache entries start with {prefix!r}",
                where=self.folder,
                expected="the first characters of exactly one key",
                hint="Type: ke2nt cache list",
            )
        return found[0]

    def remove(self, path: Path) -> None:
        """Delete the folder of an entry or of a leftover.

        Raises:
            CacheError: It cannot be deleted.
        """
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise CacheError(f"cannot delete: {error}", where=path) from error

    def _find(self, key: str, *, warn: bool = False) -> BankContent | None:
        if not self.path(key).is_dir():
            return None
        try:
            return self.read(key)
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


def _check_recipe(
    provenance: dict[str, Any], key: str, classes: tuple[str, ...], folder: Path
) -> None:
    try:
        recipe = Recipe.from_facts(provenance)
        if recipe.key != key:
            raise ValueError("it was made from something else than its name says")
        if set(recipe.prompts) != set(classes):
            raise ValueError("its classes are not those of its prompts")
    except ValueError as error:
        raise CacheError("the text bank cannot be used", where=folder, found=error) from error
