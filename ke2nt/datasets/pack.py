"""Pack a dataset: each split's images decoded once, into one array that is mapped into memory.

FOLDER/SPLIT.npy    uint8 (N, S, S, 3), RGB, one row per image
FOLDER/SPLIT.json   annotations column by column, and where the images came from
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ke2nt.data.images import decode, median_side
from ke2nt.data.sample import FaceSample, FaceSplit, origin
from ke2nt.datasets.base import Reader
from ke2nt.errors import DataError, ImageReadError
from ke2nt.runtime.atomic import atomic_folder, check_new_folder, write_text
from ke2nt.runtime.progress import track

__all__ = ["FORMAT", "pack_dataset"]

FORMAT = 1
_CHUNK = 512


def pack_dataset(
    reader: Reader,
    out: Path,
    size: int,
    *,
    splits: Sequence[str] | None = None,
    interpolation: str = "bicubic",
    workers: int = 2,
    quiet: bool = False,
) -> dict[str, Any]:
    """Decode and resize a dataset into a new folder, which appears whole or not at all.

    Memory does not grow with the dataset. Images that cannot be read are left out and named. Read
    the folder with the dataset name `packed`.

    Args:
        reader: The dataset.
        out: A folder that does not exist or is empty.
        size: Side S of the square images, pixels.
        splits: Splits to pack; all by default.
        interpolation: See `decode`.
        workers: Decoding threads.
        quiet: No progress on stderr.

    Returns:
        Split → {"samples", "bytes", "failed": {name: reason}}.

    Raises:
        DataError: The folder is in use, or no image of a split can be read.
    """
    check_new_folder(out)
    face_splits = _load_splits(reader, splits)

    summary = {}
    packer = _Packer(size, interpolation, max(1, workers), quiet)
    with atomic_folder(out) as folder:
        for name, face_split in face_splits.items():
            summary[name] = packer.pack(face_split, folder, name)
    return summary


def _load_splits(reader: Reader, names: Sequence[str] | None) -> dict[str, FaceSplit]:
    """Load all splits before the first image is decoded, as one of them may be missing."""
    face_splits = {}
    for name in names or reader.splits:
        try:
            face_splits[name] = reader.load(name)
        except DataError as error:
            raise error if names else _suggest_other_splits(error, name, reader) from error
    return face_splits


def _suggest_other_splits(error: DataError, name: str, reader: Reader) -> DataError:
    """The error of a missing split, with a hint how to pack the others."""
    others = " ".join(f"--split {other}" for other in reader.splits if other != name)
    return DataError(
        error.message,
        expected=error.expected,
        found=error.found,
        where=error.where,
        hint=f"To pack the others, add {others}." if others else error.hint,
    )


@dataclass(frozen=True)
class _Packer:
    """Packs splits in one size."""

    size: int
    interpolation: str
    workers: int
    quiet: bool

    def pack(self, split: FaceSplit, folder: Path, name: str) -> dict[str, Any]:
        """Write the two files of a split; gives its entry in the summary."""
        shape = (len(split), self.size, self.size, 3)
        array = _create_array(folder / f"{name}.npy", shape)
        # rows of unreadable images stay zero, and no sample names them
        rows, failed = self._fill(array, split, f"packing {split.dataset} {name}")
        if not rows:
            raise DataError("no image of the split can be read", where=f"{split.dataset} {name}")
        array.flush()

        # annotations, then how the images were made
        facts = {
            **_columns(split, rows),
            "side": median_side([split.samples[row].source for row in rows]),
            "interpolation": self.interpolation,
            "failed": failed,
        }
        write_text(folder / f"{name}.json", json.dumps(facts, ensure_ascii=False))
        return {"samples": len(rows), "bytes": array.nbytes, "failed": failed}

    def _fill(
        self, array: np.ndarray, split: FaceSplit, label: str
    ) -> tuple[list[int], dict[str, str]]:
        """Decode into the array; gives the filled rows, and name → reason of what failed."""
        rows, failed = [], {}
        decoded = track(self._decode(split.samples), label, total=len(split), quiet=self.quiet)
        for row, pixels in enumerate(decoded):
            if isinstance(pixels, str):
                failed[split.samples[row].name] = pixels
            else:
                array[row] = pixels
                rows.append(row)
        return rows, failed

    def _decode(self, samples: Sequence[FaceSample]) -> Iterator[np.ndarray | str]:
        """Pixels of each sample, or the reason why they cannot be read."""
        with ThreadPoolExecutor(self.workers) as pool:
            # chunks bound the number of images that wait in memory
            for start in range(0, len(samples), _CHUNK):
                yield from pool.map(self._decode_one, samples[start : start + _CHUNK])

    def _decode_one(self, sample: FaceSample) -> np.ndarray | str:
        try:
            return decode(sample.source, size=self.size, interpolation=self.interpolation)
        except ImageReadError as error:
            return str(error)


def _create_array(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    """A mapped uint8 array in a new file; OSError if the disk has no room for all of it.

    Without the reservation, the first write that finds no room would kill the process.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _columns(split: FaceSplit, rows: list[int]) -> dict[str, Any]:
    """Annotations as plain JSON; a list has one entry per packed image, null for unknown."""
    samples = [split.samples[row] for row in rows]
    files = [origin(sample.source) for sample in samples]

    # Attributes in order of first appearance
    keys = dict.fromkeys(key for sample in samples for key in sample.attributes)
    return {
        "format": FORMAT,
        "dataset": split.dataset,
        "split": split.split,
        "classes": split.classes,
        "rows": rows,
        "names": [sample.name for sample in samples],
        "sources": [str(file) if isinstance(file, Path) else None for file in files],
        "labels": [sample.label for sample in samples],
        "distributions": [sample.distribution for sample in samples],
        "subjects": [sample.subject for sample in samples],
        "attributes": {key: [sample.attributes.get(key) for sample in samples] for key in keys},
    }
