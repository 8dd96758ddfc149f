"""A dataset packed: each split's images decoded once, into one array that is mapped into memory.

FOLDER/SPLIT.npy    uint8 (N, S, S, 3), RGB, one row an image
FOLDER/SPLIT.json   what is known of the images, column by column, and where they came from
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
        interpolation: As in `decode`.
        workers: Decoding threads.
        quiet: No progress on stderr.

    Returns:
        Split → {"samples", "bytes", "failed": {name: reason}}.

    Raises:
        DataError: The folder is in use, or no image of a split can be read.
    """
    check_new_folder(out)
    summary, loaded = {}, {}
    for name in splits or reader.splits:  # each is looked for before the first image is decoded
        try:
            loaded[name] = reader.load(name)
        except DataError as error:
            raise error if splits else _without(name, reader, error) from error
    with atomic_folder(out) as aside, ThreadPoolExecutor(max(1, workers)) as pool:
        for name, split in loaded.items():
            array = _new_array(aside / f"{name}.npy", (len(split), size, size, 3))
            failed: dict[str, str] = {}
            rows = []
            done = _decoded(pool, split.samples, size, interpolation)
            label = f"packing {split.dataset} {name}"
            for row, pixels in enumerate(track(done, label, total=len(split), quiet=quiet)):
                if isinstance(pixels, str):
                    failed[split.samples[row].name] = pixels
                else:
                    array[row] = pixels
                    rows.append(row)
            if not rows:
                raise DataError(
                    "no image of the split can be read", where=f"{split.dataset} {name}"
                )
            array.flush()
            facts = {
                **_columns(split, rows),
                "side": median_side([split.samples[row].source for row in rows]),
                "interpolation": interpolation,
                "failed": failed,
            }
            write_text(aside / f"{name}.json", json.dumps(facts, ensure_ascii=False))
            summary[name] = {"samples": len(rows), "bytes": array.nbytes, "failed": failed}
    return summary


def _without(name: str, reader: Reader, error: DataError) -> DataError:
    """The error of a split that is not there, and how to pack the others."""
    others = " ".join(f"--split {other}" for other in reader.splits if other != name)
    return DataError(
        error.message,
        expected=error.expected,
        found=error.found,
        where=error.where,
        hint=f"To pack the others, add {others}." if others else error.hint,
    )


def _new_array(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    """A mapped uint8 array in a new file; OSError where the disk has no room for all of it.

    Without the reservation, the first write that finds no room would kill the process.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _decoded(
    pool: ThreadPoolExecutor, samples: Sequence[FaceSample], size: int, interpolation: str
) -> Iterator[np.ndarray | str]:
    def read(sample: FaceSample) -> np.ndarray | str:
        try:
            return decode(sample.source, size=size, interpolation=interpolation)
        except ImageReadError as error:
            return str(error)

    for start in range(0, len(samples), _CHUNK):  # bounds the images that wait
        yield from pool.map(read, samples[start : start + _CHUNK])


def _columns(split: FaceSplit, rows: list[int]) -> dict[str, Any]:
    """Plain JSON; a list has one entry a packed image, null where nothing is known."""
    samples = [split.samples[row] for row in rows]
    files = [origin(s.source) for s in samples]
    keys = dict.fromkeys(key for sample in samples for key in sample.attributes)
    return {
        "format": FORMAT,
        "dataset": split.dataset,
        "split": split.split,
        "classes": split.classes,
        "rows": rows,
        "names": [s.name for s in samples],
        "sources": [str(file) if isinstance(file, Path) else None for file in files],
        "labels": [s.label for s in samples],
        "distributions": [s.distribution for s in samples],
        "subjects": [s.subject for s in samples],
        "attributes": {key: [s.attributes.get(key) for s in samples] for key in keys},
    }
