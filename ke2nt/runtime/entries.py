"""A cache of entries: one folder each, named by the digest of what it was made from."""

from __future__ import annotations

import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from filelock import FileLock

from ke2nt.errors import CacheError
from ke2nt.runtime.progress import stderr_console

__all__ = ["Entry", "EntryCache"]

_KEY = re.compile(r"[0-9a-f]{64}")
Content = TypeVar("Content")


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


class EntryCache(ABC, Generic[Content]):
    """Content by key. Reading trusts nothing; an entry is made by one process at a time.

    Args:
        folder: The cache folder; it is made on the first write.
    """

    kind: ClassVar[str]  # folder of the entries within the cache folder

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / self.kind

    @abstractmethod
    def read(self, key: str) -> Content:
        """Read an entry whole.

        Raises:
            CacheError: It is absent, damaged, or made from another recipe than its name says.
        """

    @abstractmethod
    def facts(self, key: str) -> dict[str, Any]:
        """Read and check the JSON of an entry alone.

        Raises:
            CacheError: As for `read`.
        """

    def path(self, key: str) -> Path:
        """Folder of an entry."""
        return self.home / key

    def find(self, key: str, *, warn: bool = False) -> Content | None:
        """The content of an entry, or None where it is absent or damaged.

        Args:
            key: Its name.
            warn: Say on stderr that it is damaged.
        """
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

    def find_or_make(self, key: str, make: Callable[[], Content]) -> tuple[Content, bool]:
        """The content of an entry; a damaged one is named and made anew.

        Args:
            key: Its name.
            make: Makes the content and writes the entry, within `writing`; called in at most one
                of all processes that ask at the same time.

        Returns:
            The content, and whether it was in the cache.

        Raises:
            CacheError: The cache folder cannot be written.
        """
        if (content := self.find(key)) is not None:
            return content, True
        with self._lock(key):
            if (content := self.find(key, warn=True)) is not None:
                return content, True
            return make(), False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What the system refuses within is a CacheError."""
        try:
            yield
        except OSError as error:
            raise CacheError(
                "the cache folder cannot be written",
                where=self.folder,
                found=error.strerror or error,
                hint="Name another one with --cache-dir or KE2NT_CACHE.",
            ) from error

    def entries(self) -> Iterator[Entry]:
        """Every entry, by key; only the JSON is read and checked."""
        if not self.home.is_dir():
            return
        for folder in sorted(self.home.iterdir()):
            if not (_KEY.fullmatch(folder.name) and folder.is_dir()):
                continue
            facts, problem = None, None
            try:
                facts = self.facts(folder.name)
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
        return sorted(self.home.glob(".*")) if self.home.is_dir() else []

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

    @contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        lock = FileLock(self.folder / "locks" / f"{key}.lock")
        with self.writing():
            (self.folder / "locks").mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
