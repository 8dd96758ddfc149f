"""A content-addressed cache: one folder for each entry, named by the digest of its recipe."""

from __future__ import annotations

import json
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from filelock import FileLock

from ke2nt.errors import CacheError
from ke2nt.runtime.digest import digest_json
from ke2nt.runtime.progress import stderr_console

__all__ = ["BANKS", "Entry", "EntryCache", "Recipe", "resolve_key"]

BANKS = "banks"
"""Folder of text banks within the cache folder."""

_KEY = re.compile(r"[0-9a-f]{64}")
Content = TypeVar("Content")


@dataclass(frozen=True)
class Recipe:
    """Base of recipes: everything that decides the content of an entry, as dataclass fields."""

    def facts(self) -> dict[str, Any]:
        """Return the recipe as plain JSON, in the order of its fields."""
        return json.loads(json.dumps(asdict(self), allow_nan=False))

    @property
    def key(self) -> str:
        """Hex SHA-256 of the recipe; the order of keys in its objects does not matter."""
        return digest_json(self.facts())


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry on disk.

    Attributes:
        key: Its name: the digest of its recipe.
        path: Its folder.
        modified: Time of its last change, in seconds since 1970.
        size: Bytes of its files.
        facts: Its JSON, or None if that cannot be used.
        problem: Why it cannot be used, or None.
    """

    key: str
    path: Path
    modified: float
    size: int
    facts: dict[str, Any] | None
    problem: str | None


class EntryCache(ABC, Generic[Content]):
    """Content by key. Nothing on disk is trusted; one process at a time makes an entry.

    Args:
        folder: The cache folder; it is created by the first write.
    """

    kind: ClassVar[str]  # folder of the entries within the cache folder

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / self.kind

    @abstractmethod
    def read(self, key: str) -> Content:
        """Read an entry and check all of it.

        Raises:
            CacheError: It is absent, damaged, or made from another recipe than its name says.
        """

    @abstractmethod
    def read_facts(self, key: str) -> dict[str, Any]:
        """Read and check only the JSON of an entry.

        Raises:
            CacheError: As for `read`.
        """

    def path(self, key: str) -> Path:
        """Return the folder of an entry."""
        return self.home / key

    def find(self, key: str, *, warn: bool = False) -> Content | None:
        """Return the content of an entry, or None if it is absent or damaged.

        Args:
            key: Its name.
            warn: Report damage on stderr.
        """
        if not self.path(key).is_dir():
            return None
        try:
            return self.read(key)
        except CacheError as error:
            if warn:
                message = f"warning: damaged cache entry ignored: {error}"
                stderr_console().print(message, markup=False)
            return None

    def find_or_make(self, key: str, make: Callable[[], Content]) -> tuple[Content, bool]:
        """Return the content of an entry; an absent or damaged one is made.

        Args:
            key: Its name.
            make: Makes the content and writes the entry, within `writing`. Of all processes that
                ask at the same time, at most one calls it.

        Returns:
            The content, and whether it was in the cache.

        Raises:
            CacheError: The cache folder cannot be written.
        """
        content = self.find(key)
        if content is not None:
            return content, True

        with self._lock(key):
            # another process may have made it while this one waited for the lock
            content = self.find(key, warn=True)
            if content is not None:
                return content, True
            return make(), False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn errors of the system within the block into a CacheError."""
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
        """Yield every entry, by key; only the JSON is read and checked."""
        if not self.home.is_dir():
            return
        for folder in sorted(self.home.iterdir()):
            if not _KEY.fullmatch(folder.name) or not folder.is_dir():
                continue

            # a damaged entry is listed with its problem
            facts, problem = None, None
            try:
                facts = self.read_facts(folder.name)
            except CacheError as error:
                problem = str(error)

            try:
                modified = folder.stat().st_mtime
                size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
            except FileNotFoundError:  # another process has just deleted it
                continue
            yield Entry(folder.name, folder, modified, size, facts, problem)

    def leftovers(self) -> list[Path]:
        """Return the folders of interrupted writes."""
        return sorted(self.home.glob(".*")) if self.home.is_dir() else []

    def resolve(self, prefix: str) -> Entry:
        """Return the entry whose key starts with some characters.

        Raises:
            CacheError: There is none, or more than one.
        """
        key = resolve_key(self.home, prefix)
        return next(entry for entry in self.entries() if entry.key == key)

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
        # beside the entries, because an entry is replaced as a whole folder
        lock = FileLock(self.folder / "locks" / f"{key}.lock")
        with self.writing():
            (self.folder / "locks").mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def resolve_key(home: Path, prefix: str) -> str:
    """Return the key that starts with some characters; entries are not read.

    Args:
        home: Folder of the entries.
        prefix: The characters.

    Raises:
        CacheError: There is none, or more than one.
    """
    folders = home.iterdir() if home.is_dir() else ()
    names = [folder.name for folder in folders if folder.is_dir()]
    matches = [n for n in names if prefix and n.startswith(prefix) and _KEY.fullmatch(n)]
    if len(matches) != 1:
        raise CacheError(
            f"{len(matches) or 'no'} cache entries start with {prefix!r}",
            where=home.parent,
            expected="the first characters of exactly one key",
            hint="Type: ke2nt cache list",
        )
    return matches[0]
