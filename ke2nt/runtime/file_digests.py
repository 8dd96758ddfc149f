"""Digests of weight and tokenizer files, remembered so that a large file is read only once."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from ke2nt.runtime.atomic import write_json
from ke2nt.runtime.digest import digest_bytes, digest_file

__all__ = ["FileDigests"]

_SMALL = 1 << 20  # bytes; reading so little is faster than remembering


class FileDigests:
    """SHA-256 of files, remembered by path, size and time of change.

    Args:
        folder: Where to remember. A folder that cannot be written is no error.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "digests"

    def of(self, path: Path) -> str:
        """Hex SHA-256 of a file's content."""
        path = path.resolve()
        stat = path.stat()
        if stat.st_size < _SMALL:
            return digest_file(path)
        note = self._folder / f"{digest_bytes(str(path).encode())}.json"
        facts = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        try:
            known = json.loads(note.read_bytes())
            if {key: known[key] for key in facts} == facts:
                return str(known["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        digest = digest_file(path)
        with contextlib.suppress(OSError):
            write_json(note, {**facts, "sha256": digest})
        return digest

    def of_all(self, paths: Iterable[Path]) -> dict[str, str]:
        """File name → digest."""
        return {path.name: self.of(path) for path in paths}
