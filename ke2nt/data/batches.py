"""Batches of pixels from memory, from a packed array, or decoded by worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ke2nt.data.images import decode
from ke2nt.data.sample import FaceSample, FaceSplit, PackedImage, packed_pixels
from ke2nt.errors import ImageReadError

__all__ = [
    "Batch",
    "Decoder",
    "PackedPixels",
    "decode_batches",
    "find_packed_pixels",
    "index_batches",
    "read_packed_batches",
]


class Batch(NamedTuple):
    """Some images of a split.

    Attributes:
        pixels: uint8 (B, 3, S, S), RGB.
        indices: int64 (B,), positions in the split.
    """

    pixels: torch.Tensor
    indices: torch.Tensor


class PackedPixels(NamedTuple):
    """Where the pixels of a packed split are.

    Attributes:
        array: uint8 (R, S, S, 3), mapped into memory.
        rows: int64 (N,), the row of each sample.
    """

    array: torch.Tensor
    rows: torch.Tensor


@dataclass(frozen=True)
class Decoder(Dataset[Any]):
    """Index → index and uint8 (3, S, S) pixels, or the reason why the image cannot be read.

    It also runs in worker processes.
    """

    samples: tuple[FaceSample, ...]
    image_size: int
    interpolation: str
    resize_mode: str = "squash"

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[int, np.ndarray | str]:
        try:
            pixels = decode(
                self.samples[index].source,
                size=self.image_size,
                interpolation=self.interpolation,
                resize_mode=self.resize_mode,
            )
        except ImageReadError as error:
            return index, str(error)
        return index, np.ascontiguousarray(pixels.transpose(2, 0, 1))


def find_packed_pixels(split: FaceSplit, size: int) -> PackedPixels | None:
    """The array of a split that is packed in this size, or None."""
    sources = [s.source for s in split.samples if isinstance(s.source, PackedImage)]
    if len(sources) < len(split) or len({source.path for source in sources}) != 1:
        return None

    array = packed_pixels(sources[0].path)
    if array.shape[1] != size:
        return None
    rows = torch.tensor([source.row for source in sources])
    return PackedPixels(torch.from_numpy(array), rows)


def index_batches(pixels: torch.Tensor, chunks: Sequence[torch.Tensor]) -> Iterator[Batch]:
    """Batches from pixels (N, 3, S, S) in memory, one per chunk of positions."""
    # one copy of all positions, as every copy to a device makes the CPU wait
    positions = torch.cat(list(chunks)).to(pixels.device)
    for indices, rows in zip(chunks, positions.split([*map(len, chunks)]), strict=True):
        yield Batch(pixels[rows], indices)


def read_packed_batches(packed: PackedPixels, chunks: Sequence[torch.Tensor]) -> Iterator[Batch]:
    """Batches from a packed array; each is read from disk while the previous one is in use."""

    def read(indices: torch.Tensor) -> Batch:
        return Batch(packed.array[packed.rows[indices]].permute(0, 3, 1, 2), indices)

    with ThreadPoolExecutor(1) as pool:
        next_batch = pool.submit(read, chunks[0])
        for indices in chunks[1:]:
            batch, next_batch = next_batch, pool.submit(read, indices)
            yield batch.result()
        yield next_batch.result()


def decode_batches(
    decoder: Decoder, chunks: Sequence[torch.Tensor], workers: int
) -> Iterator[tuple[Batch, dict[int, str]]]:
    """Decode batches, in worker processes if there are any.

    Yields:
        The readable images of a chunk, and position → reason of the unreadable ones.
    """
    loader = DataLoader(
        decoder,
        batch_sampler=[chunk.tolist() for chunk in chunks],
        num_workers=workers,
        collate_fn=list,
        generator=torch.Generator(),  # without one it draws from the global generator
    )
    size = decoder.image_size
    for items in loader:
        # an item holds pixels, or the reason why there are none
        failed = {index: item for index, item in items if isinstance(item, str)}
        readable = [item for item in items if not isinstance(item[1], str)]

        pixels = np.array([image for _, image in readable], dtype=np.uint8)
        indices = torch.tensor([index for index, _ in readable], dtype=torch.int64)
        yield Batch(torch.from_numpy(pixels.reshape(-1, 3, size, size)), indices), failed
