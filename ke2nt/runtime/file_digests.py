"""Digests of weight and tokenizer files, remembered so that a large file is read only once."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ke2nt.runtime.atomic import write_json
from ke2nt.runtime.digest import digest_bytes, digest_file

__all__ = ["FileDigests"]

_SMALL = 1 << 20  # bytes; reading a small file is faster than remembering its digest


class FileDigests:
    """SHA-256 of files, remembered by path, size and time of change.

    Args:
        folder: Where to remember. A folder that cannot be written is not an error.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "digests"

    def of(self, path: Path) -> str:
        """Return the hex SHA-256 of a file's content."""
        path = path.resolve()
        stat = path.stat()
        if stat.st_size < _SMALL:
            return digest_file(path)

        note = self._folder / f"{digest_bytes(str(path).encode())}.json"
        facts = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        remembered = _read_note(note, facts)
        if remembered is not None:
            return remembered

        digest = digest_file(path)
        with contextlib.suppress(OSError):
            write_json(note, {**facts, "sha256": digest})
        return digest

    def of_all(self, paths: Iterable[Path]) -> dict[str, str]:
        """Return file name → digest."""
        return {path.name: self.of(path) for path in paths}


def _read_note(note: Path, facts: dict[str, Any]) -> str | None:
    """The digest of a note about a file with the same size and time of change."""
    try:
        stored = json.loads(note.read_bytes())
        same = all(stored[key] == value for key, value in facts.items())
        return str(stored["sha256"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
