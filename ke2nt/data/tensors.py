"""A split decoded to uint8 batches: once into RAM, or each time it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import torch

from ke2nt.data.batches import (
    Batch,
    Decoder,
    PackedPixels,
    decode_batches,
    find_packed_pixels,
    index_batches,
    read_packed_batches,
)
from ke2nt.data.sample import FaceSplit
from ke2nt.errors import DataError
from ke2nt.runtime.distributed import gather_objects, rank, world_size
from ke2nt.runtime.progress import track

__all__ = ["RAM_LIMIT", "Batch", "FaceTensors", "Memory"]

Memory = Literal["auto", "ram", "lazy"]

RAM_LIMIT = 4 * 2**30
"""Bytes of pixels up to which "auto" decodes a split into RAM."""

_COPY_CHUNK = 1024  # images at a time, so that a split is not twice in RAM
_CHECK_BATCH = 64


class FaceTensors:
    """Decoded, resized images of a split.

    An image that cannot be read never stops anything: it is left out, and named in `failed`.

    Args:
        split: The samples.
        image_size: Side S of the square images in pixels.
        interpolation: See `Preprocessing`.
        resize_mode: Likewise.
        memory: "ram" decodes everything now; "lazy" decodes on each pass; "auto" takes RAM if the
            pixels need at most 4 GiB. A packed split of the right size is never decoded: unless in
            RAM, it is read through the memory map.
        workers: Decoding threads (RAM) or worker processes (lazy).
        quiet: No progress on stderr.

    Attributes:
        split: The whole split.
        image_size: S.
        failed: Sample name → reason, for every image that could not be read so far.

    Raises:
        DataError: The split is empty, or (RAM) none of its images can be read.
    """

    def __init__(
        self,
        split: FaceSplit,
        image_size: int,
        *,
        interpolation: str = "bicubic",
        resize_mode: str = "squash",
        memory: Memory = "auto",
        workers: int = 2,
        quiet: bool = True,
    ) -> None:
        if len(split) == 0:
            raise DataError("the split is empty", where=f"{split.dataset} {split.split}")
        self.split = split
        self.image_size = image_size
        self.failed: dict[str, str] = {}

        self._decoder = Decoder(split.samples, image_size, interpolation, resize_mode)
        self._workers = workers
        self._usable = torch.arange(len(split))

        # Pixels are in memory, in a packed array on disk, or decoded when they are needed
        self._pixels: torch.Tensor | None = None
        self._packed = find_packed_pixels(split, image_size)
        size = len(split) * 3 * image_size**2
        if memory == "ram" or (memory == "auto" and size <= RAM_LIMIT):
            self._fill(quiet)

    def __len__(self) -> int:
        return len(self.split)

    @property
    def usable(self) -> torch.Tensor:
        """int64 (M,), positions of the images that are not known to be unreadable."""
        return self._usable

    def to(self, device: torch.device) -> None:
        """Keep the pixels on a device from now on, if they are in RAM."""
        if self._pixels is not None:
            self._pixels = self._pixels.to(device)

    def pixel_digests(self) -> list[str] | None:
        """Return a short digest of the pixels of each readable image; None if not in memory."""
        if self._pixels is None:
            return None
        pixels = self._pixels.cpu().numpy()
        return [
            hashlib.blake2b(pixels[index].tobytes(), digest_size=8).hexdigest()
            for index in self.usable.tolist()
        ]

    def read_all(self, *, quiet: bool = True) -> None:
        """Find every unreadable image now. Several processes share the work and its result."""
        if self._pixels is None and self._packed is None:
            mine = self.usable[rank() :: world_size()]
            batches = self.batches(_CHECK_BATCH, order=mine)
            label = f"checking {self.split.dataset} {self.split.split}"
            for _ in track(batches, label, total=-(-len(mine) // _CHECK_BATCH), quiet=quiet):
                pass
        self.agree()

    def agree(self) -> None:
        """Let every process leave out what any of them could not read."""
        for failed in gather_objects(self.failed):
            self._leave_out(failed)

    def batches(
        self,
        batch_size: int,
        *,
        order: torch.Tensor | None = None,
        drop_last: bool = False,
        keep_empty: bool = False,
        workers: int | None = None,
    ) -> Iterator[Batch]:
        """Batches in split order, or in a given order of positions.

        Unreadable images are left out, so a batch may be smaller than requested; an empty one is
        skipped unless `keep_empty`. The images of an order stay in the batches that they have
        there, known to be unreadable or not, so that an order gives the same batches each time.

        Args:
            batch_size: Images per batch.
            order: int64 (M,), positions in the split; all usable ones by default.
            drop_last: Leave out a last batch that is smaller, unless it is the only one.
            keep_empty: Also give batches without any readable image.
            workers: Replaces the split's number of workers; 0 is best for few images.
        """
        # chunks of positions, one for each batch
        order = self.usable if order is None else order
        chunks = list(order.split(batch_size)) if len(order) else []
        if drop_last and len(chunks) > 1 and len(chunks[-1]) < batch_size:
            chunks.pop()

        # Every chunk becomes one batch, however many of its images are left
        chunks = self._readable(chunks)
        if not keep_empty:
            chunks = [chunk for chunk in chunks if len(chunk)]
        if not chunks:
            return

        if self._pixels is not None:
            yield from index_batches(self._pixels, chunks)
        elif self._packed is not None:
            yield from read_packed_batches(self._packed, chunks)
        else:
            workers = self._workers if workers is None else workers
            yield from self._decoded(chunks, workers, keep_empty=keep_empty)

    def _readable(self, chunks: list[torch.Tensor]) -> list[torch.Tensor]:
        """Chunks of positions without those that are known to be unreadable."""
        if not self.failed:
            return chunks
        readable = torch.zeros(len(self.split), dtype=torch.bool)
        readable[self.usable] = True
        return [chunk[readable[chunk]] for chunk in chunks]

    def _decoded(
        self, chunks: list[torch.Tensor], workers: int, *, keep_empty: bool
    ) -> Iterator[Batch]:
        """Decode batch by batch, and note the images that cannot be read."""
        for batch, failed in decode_batches(self._decoder, chunks, workers):
            for index, reason in failed.items():
                self._mark_failed(index, reason)
            if len(batch.indices) or keep_empty:
                yield batch

    def _leave_out(self, failed: Mapping[str, str]) -> None:
        # the split is searched only if another process found something new
        new = failed.keys() - self.failed.keys()
        if not new:
            return
        for index, sample in enumerate(self.split.samples):
            if sample.name in new:
                self._mark_failed(index, failed[sample.name])

    def _mark_failed(self, index: int, reason: str) -> None:
        self.failed[self.split.samples[index].name] = reason
        self._usable = self._usable[self._usable != index]

    def _fill(self, quiet: bool) -> None:
        """Hold all pixels in memory, uint8 (N, 3, S, S)."""
        if self._packed is not None:
            self._pixels = _copy_packed(self._packed, self.image_size)
            return

        # Threads decode, and the pixels of unreadable images stay zero
        size = self.image_size
        pixels = torch.zeros((len(self.split), 3, size, size), dtype=torch.uint8)
        with ThreadPoolExecutor(max(1, self._workers)) as pool:
            items = pool.map(self._decoder.__getitem__, range(len(self.split)))
            label = f"reading {self.split.dataset} {self.split.split}"
            for index, item in track(items, label, total=len(self.split), quiet=quiet):
                if isinstance(item, str):
                    self._mark_failed(index, item)
                else:
                    pixels[index] = torch.from_numpy(item)

        self._pixels = pixels
        if len(self.failed) == len(self.split):
            name, reason = next(iter(self.failed.items()))
            raise DataError(
                f"none of the {len(self.split)} images of the split can be read",
                where=f"{self.split.dataset} {self.split.split}",
                found=f"{name}: {reason}",
            )


def _copy_packed(packed: PackedPixels, size: int) -> torch.Tensor:
    pixels = torch.empty((len(packed.rows), 3, size, size), dtype=torch.uint8)
    chunks = zip(pixels.split(_COPY_CHUNK), packed.rows.split(_COPY_CHUNK), strict=True)
    for part, rows in chunks:
        part.copy_(packed.array[rows].permute(0, 3, 1, 2))
    return pixels
