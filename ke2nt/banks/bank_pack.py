"""Text banks in one file, for a machine that cannot make them."""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ke2nt.banks.bank_cache import BankCache
from ke2nt.banks.bank_files import FACTS, TENSORS
from ke2nt.errors import CacheError
from ke2nt.runtime.atomic import atomic_folder, write_bytes

__all__ = ["Unpacked", "pack_banks", "unpack_banks"]

Unpacked = Literal["added", "present"]

_NAME = re.compile(rf"([0-9a-f]{{64}})/({re.escape(TENSORS)}|{re.escape(FACTS)})")
_MAX_BYTES = 1 << 28  # of a single file
_DATE = (1980, 1, 1, 0, 0, 0)  # the same banks make the same file


def pack_banks(cache: BankCache, keys: Sequence[str], path: Path) -> None:
    """Write entries of a cache into a zip file, each read and checked first.

    Args:
        cache: Where the entries are.
        keys: Their names.
        path: The file, which appears whole or not at all.

    Raises:
        CacheError: There are no entries, or one is absent or damaged.
    """
    if not keys:
        raise CacheError(
            "there are no text banks to pack",
            where=cache.folder,
            hint="Type: ke2nt cache build --all-prompts --encoder ENC",
        )

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for key in sorted(set(keys)):
            cache.read(key)
            for name in (TENSORS, FACTS):
                entry = zipfile.ZipInfo(f"{key}/{name}", _DATE)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, (cache.path(key) / name).read_bytes())
    write_bytes(path, buffer.getvalue())


def unpack_banks(cache: BankCache, path: Path) -> dict[str, Unpacked]:
    """Add the entries of a file to a cache; nothing in the file is trusted.

    Every entry is checked as in the cache before the first one is added.

    Returns:
        Key → "added", or "present" if an undamaged entry was there.

    Raises:
        CacheError: The file is no pack of text banks, or an entry in it is damaged.
    """
    files = _read_files(path)
    with tempfile.TemporaryDirectory() as folder:
        # a cache of its own, whose reader checks digests, recipe and name
        staged = BankCache(Path(folder), cache.bank_class)
        for (key, name), data in files.items():
            write_bytes(staged.path(key) / name, data)
        keys = sorted({key for key, _ in files})
        for key in keys:
            _check_entry(staged, key, path)

    states: dict[str, Unpacked] = {}
    for key in keys:
        states[key] = "present" if cache.find(key) is not None else "added"
        if states[key] == "added":
            with cache.writing(), atomic_folder(cache.path(key)) as entry:
                for name in (TENSORS, FACTS):
                    (entry / name).write_bytes(files[key, name])
    return states


def _read_files(path: Path) -> dict[tuple[str, str], bytes]:
    """Content of the files in a pack, by key and name."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            names = [_NAME.fullmatch(info.filename) for info in infos]
            if not infos or not all(names):
                raise ValueError("it does not hold text banks alone")
            if any(info.file_size > _MAX_BYTES for info in infos):
                raise ValueError(f"a file in it has over {_MAX_BYTES:,} bytes")
            return {
                (match[1], match[2]): archive.read(info)
                for info, match in zip(infos, names, strict=True)
                if match is not None
            }

    # whatever a damaged archive raises
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _unusable(path, error) from error


def _check_entry(staged: BankCache, key: str, path: Path) -> None:
    try:
        staged.read(key)
    except CacheError as error:
        # the message names the temporary folder, which says nothing
        raise CacheError(
            f"the text bank {key[:12]} in the pack is damaged", where=path, found=error.found
        ) from error


def _unusable(path: Path, error: BaseException) -> CacheError:
    found = error.strerror if isinstance(error, OSError) and error.strerror else error
    return CacheError(
        "not a pack of text banks",
        where=path,
        expected="a file that `ke2nt cache pack` wrote",
        found=found,
    )
