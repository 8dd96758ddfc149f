"""Files that annotations name, found on disk although case or Unicode form differ."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

__all__ = ["FileFinder"]


class FileFinder:
    """Finds files below a folder by the names that an annotation file gives them.

    Windows and macOS ignore case and compose accented letters in their own ways, so that a list
    written there may spell a name otherwise than the disk does. A name is corrected only where
    exactly one entry of the folder fits. Each folder is listed once.

    Args:
        root: The folder that the names are relative to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[Path, tuple[set[str], dict[str, list[str]]]] = {}

    def find(self, name: str | PurePosixPath) -> Path:
        """The file on disk; the plain path below the root where there is none."""
        path = PurePosixPath(name)
        folder = self.root
        for part in path.parts:
            # what leads out of a folder, or to a file elsewhere, is left to the system
            found = part if part in ("..", "/") else self._entry(folder, part)
            if found is None:
                return self.root / path
            folder = folder / found
        return folder

    def _entry(self, folder: Path, part: str) -> str | None:
        """The name of an entry as the disk spells it; None if none or several fit."""
        if folder not in self._folders:
            self._folders[folder] = _list_names(folder)
        names, folded = self._folders[folder]

        # The same spelling first, then the same letters, then the same letters in another case
        if part in names:
            return part
        candidates = folded.get(_fold(part), [])
        composed = [name for name in candidates if _compose(name) == _compose(part)]
        for fitting in (composed, candidates):
            if len(fitting) == 1:
                return fitting[0]

        # labeling tools write names as addresses: "a%20b.png"
        plain = unquote(part)
        return self._entry(folder, plain) if plain not in (part, "..", "") else None


def _list_names(folder: Path) -> tuple[set[str], dict[str, list[str]]]:
    """Entries of a folder, as spelled and by folded name; none if it cannot be listed."""
    try:
        names = set(os.listdir(folder))
    except OSError:
        names = set()
    folded: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        folded[_fold(name)].append(name)
    return names, folded


def _compose(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _fold(name: str) -> str:
    return _compose(name).casefold()
