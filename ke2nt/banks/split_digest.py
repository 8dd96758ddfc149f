"""Digests of the images of a split, remembered so that files are read once."""

from __future__ import annotations

import contextlib
import io
import os
import time
from pathlib import Path

import numpy as np

from ke2nt.data.sample import (
    ChangedImage,
    DamagedImage,
    EncodedImage,
    FaceSplit,
    PackedImage,
    PlainSource,
    origin,
)
from ke2nt.data.video_frame import VideoFrame
from ke2nt.runtime.atomic import write_bytes
from ke2nt.runtime.digest import digest_bytes, digest_file, digest_json

__all__ = ["split_digest"]

# seconds; a file that changed more recently may change again within one tick of its clock
_SETTLED = 2.0
_RECORD = np.dtype([("size", "i8"), ("mtime", "i8"), ("sha256", "u1", 32)])


def split_digest(split: FaceSplit, folder: Path) -> str:
    """Return the hex SHA-256 over the names and the contents of a split's images, in order.

    Args:
        split: The images; a file that cannot be read counts as absent.
        folder: Where digests of files are remembered, by path, size and time of change. A folder
            that cannot be written is not an error.
    """
    sources = [origin(sample.source) for sample in split.samples]
    paths = [source.resolve() for source in sources if isinstance(source, Path)]
    file_digests = iter(_file_digests(paths, folder / "digests"))

    rows = []
    for sample, source in zip(split.samples, sources, strict=True):
        content = next(file_digests) if isinstance(source, Path) else _pixels_digest(source)
        row = [sample.name, content]
        changed = sample.source
        while isinstance(changed, ChangedImage):
            row.append(repr(changed.change))
            changed = changed.source
        rows.append(row)
    return digest_json(rows)


def _pixels_digest(source: PlainSource) -> str:
    if isinstance(source, DamagedImage):
        return digest_bytes(source.reason.encode())
    if isinstance(source, EncodedImage):
        return digest_bytes(source.content)
    # a video counts with its place and the frame, as its frames are slow to read
    if isinstance(source, VideoFrame):
        return digest_bytes(repr((os.fspath(source.path), source.position)).encode())
    pixels = source.read() if isinstance(source, PackedImage) else np.asarray(source)
    return digest_bytes(f"{pixels.dtype} {pixels.shape} ".encode() + pixels.tobytes())


def _file_digests(paths: list[Path], folder: Path) -> list[str]:
    """Hex SHA-256 of each file, zeros for one that cannot be read."""
    if not paths:
        return []

    # one note for each list of files
    name = digest_bytes(os.fsencode(chr(0).join(map(str, paths))))
    note = folder / f"split-{name}.npy"
    remembered = _read_note(note, len(paths))

    now = time.time()
    records = np.zeros(len(paths), dtype=_RECORD)
    for row, path in enumerate(paths):
        with contextlib.suppress(OSError):
            records[row] = _file_record(path, remembered[row], now)

    if not np.array_equal(records, remembered):
        data = io.BytesIO()
        np.save(data, records)
        with contextlib.suppress(OSError):
            write_bytes(note, data.getvalue())
    return [value.tobytes().hex() for value in records["sha256"]]


def _file_record(path: Path, remembered: np.void, now: float) -> np.void | tuple:
    """Size, time and digest of a file; it is read only if it has changed."""
    stat = path.stat()
    unchanged = (remembered["size"], remembered["mtime"]) == (stat.st_size, stat.st_mtime_ns)
    if unchanged and stat.st_mtime_ns:
        return remembered

    digest = np.frombuffer(bytes.fromhex(digest_file(path)), np.uint8)
    # a time of 0 marks a file that changed too recently to trust: it is read again next time
    settled = now - stat.st_mtime > _SETTLED
    return stat.st_size, stat.st_mtime_ns if settled else 0, digest


def _read_note(note: Path, count: int) -> np.ndarray:
    with contextlib.suppress(OSError, ValueError, EOFError):
        records = np.load(note, allow_pickle=False)
        if records.dtype == _RECORD and records.shape == (count,):
            return records
    return np.zeros(count, dtype=_RECORD)
