"""Digests of the images of a split, remembered so that files are read once."""

from __future__ import annotations

import contextlib
import io
import os
import time
from pathlib import Path

import numpy as np

from ke2nt.data.sample import ChangedImage, FaceSplit, PackedImage, origin
from ke2nt.runtime.atomic import write_bytes
from ke2nt.runtime.digest import digest_bytes, digest_file, digest_json

__all__ = ["split_digest"]

_SETTLED = 2.0  # seconds; a file changed so lately may change again within one tick of its clock


def split_digest(split: FaceSplit, folder: Path) -> str:
    """Hex SHA-256 over the names and the contents of a split's images, in order.

    Args:
        split: The images; a file that cannot be read counts as absent.
        folder: Where digests of files are remembered, by path, size and time of change. A folder
            that cannot be written is no error.
    """
    sources = [origin(s.source) for s in split.samples]
    paths = [source.resolve() for source in sources if isinstance(source, Path)]
    files = iter(_file_digests(paths, folder / "digests"))
    rows = [
        [s.name, next(files) if isinstance(source, Path) else _pixels_digest(source)]
        + ([repr(s.source.change)] if isinstance(s.source, ChangedImage) else [])
        for s, source in zip(split.samples, sources, strict=True)
    ]
    return digest_json(rows)


def _pixels_digest(source: np.ndarray | PackedImage) -> str:
    pixels = source.read() if isinstance(source, PackedImage) else source
    return digest_bytes(f"{pixels.dtype} {pixels.shape} ".encode() + pixels.tobytes())


def _file_digests(paths: list[Path], folder: Path) -> list[str]:
    if not paths:
        return []
    note = folder / f"split-{digest_bytes(os.fsencode(chr(0).join(map(str, paths))))}.npy"
    known = _recall(note, len(paths))
    now = time.time()
    found = np.zeros(len(paths), dtype=known.dtype)
    for row, path in enumerate(paths):
        try:
            stat = path.stat()
            seen = (stat.st_size, stat.st_mtime_ns)
            if (known[row]["size"], known[row]["mtime"]) == seen and seen[1]:
                found[row] = known[row]
                continue
            digest = np.frombuffer(bytes.fromhex(digest_file(path)), np.uint8)
        except OSError:
            continue
        settled = now - stat.st_mtime > _SETTLED
        found[row] = (stat.st_size, stat.st_mtime_ns if settled else 0, digest)
    if not np.array_equal(found, known):
        data = io.BytesIO()
        np.save(data, found)
        with contextlib.suppress(OSError):
            write_bytes(note, data.getvalue())
    return [value.tobytes().hex() for value in found["sha256"]]


def _recall(note: Path, count: int) -> np.ndarray:
    kind = np.dtype([("size", "i8"), ("mtime", "i8"), ("sha256", "u1", 32)])
    with contextlib.suppress(OSError, ValueError, EOFError):
        known = np.load(note, allow_pickle=False)
        if known.dtype == kind and known.shape == (count,):
            return known
    return np.zeros(count, dtype=kind)
