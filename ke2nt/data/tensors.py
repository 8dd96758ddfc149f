"""A split decoded to uint8 batches: once into RAM, or each time it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ke2nt.data.images import decode
from ke2nt.data.sample import FaceSample, FaceSplit, PackedImage, packed_pixels
from ke2nt.errors import DataError, ImageReadError
from ke2nt.runtime.distributed import gather_objects, rank, world_size
from ke2nt.runtime.progress import track

__all__ = ["Batch", "FaceTensors", "Memory"]

Memory = Literal["auto", "ram", "lazy"]
RAM_LIMIT = 4 * 2**30
_COPIED = 1024  # images at a time, so that a split is not twice in RAM


class Batch(NamedTuple):
    """Some images of a split.

    Attributes:
        pixels: uint8 (B, 3, S, S), RGB.
        indices: int64 (B,), positions in the split.
    """

    pixels: torch.Tensor
    indices: torch.Tensor


@dataclass(frozen=True)
class _Decoder(Dataset[Any]):
    """Index → pixels, or the reason why not. Runs in worker processes, too."""

    samples: tuple[FaceSample, ...]
    image_size: int
    interpolation: str

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[int, np.ndarray | str]:
        try:
            pixels = decode(
                self.samples[index].source, size=self.image_size, interpolation=self.interpolation
            )
        except ImageReadError as error:
            return index, str(error)
        return index, np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _mapped(split: FaceSplit, size: int) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Array (N, S, S, 3) and rows of a split that is packed in this size, or None."""
    places = [s.source for s in split.samples if isinstance(s.source, PackedImage)]
    if len(places) < len(split) or len({place.path for place in places}) != 1:
        return None
    array = packed_pixels(places[0].path)
    if array.shape[1] != size:
        return None
    return torch.from_numpy(array), torch.tensor([place.row for place in places])


class FaceTensors:
    """Decoded, resized images of a split.

    An image that cannot be read never stops anything: it is left out, and named in `failed`.

    Args:
        split: The samples.
        image_size: Side S of the square images in pixels.
        interpolation: As in `Preprocessing`.
        memory: "ram" decodes everything now; "lazy" decodes on each pass; "auto" takes RAM where
            the pixels need at most 4 GiB. A packed split of the right size is never decoded: unless
            in RAM, it is read through the memory map.
        workers: Decoding threads (RAM) or worker processes (lazy).
        quiet: No progress on stderr.

    Attributes:
        split: The split, whole.
        failed: Sample name → reason, of every image that could not be read so far.

    Raises:
        DataError: The split is empty, or (RAM) none of its images can be read.
    """

    def __init__(
        self,
        split: FaceSplit,
        image_size: int,
        *,
        interpolation: str = "bicubic",
        memory: Memory = "auto",
        workers: int = 2,
        quiet: bool = True,
    ) -> None:
        if len(split) == 0:
            raise DataError("the split is empty", where=f"{split.dataset} {split.split}")
        self.split = split
        self.image_size = image_size
        self.failed: dict[str, str] = {}
        self._decoder = _Decoder(split.samples, image_size, interpolation)
        self._workers = workers
        size = len(split) * 3 * image_size**2
        self._pixels: torch.Tensor | None = None
        self._mapped = _mapped(split, image_size)
        self._usable = torch.arange(len(split))
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

    def read_all(self, *, quiet: bool = True) -> None:
        """Find every unreadable image now. Several processes share the work and its result."""
        if self._pixels is None and self._mapped is None:
            mine = self.usable[rank() :: world_size()]
            label, steps = f"checking {self.split.dataset} {self.split.split}", -(-len(mine) // 64)
            for _ in track(self.batches(64, order=mine), label, total=steps, quiet=quiet):
                pass
        self.agree()

    def agree(self) -> None:
        """Let every process leave out what any of them could not read."""
        for failed in gather_objects(self.failed):
            self._leave_out(failed)

    def _leave_out(self, failed: Mapping[str, str]) -> None:
        if new := failed.keys() - self.failed.keys():
            for index, sample in enumerate(self.split.samples):
                if sample.name in new:
                    self._fail(index, failed[sample.name])

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

        Unreadable images are left out, so a batch may be smaller than asked; an empty one is
        skipped unless `keep_empty`. The images of an order stay in the batches that they have
        there, known to be unreadable or not, so that an order gives the same batches each time.

        Args:
            batch_size: Images of a batch.
            order: int64 (M,), positions in the split; all that are usable unless given.
            drop_last: Leave out a last batch that is smaller, unless it is the only one.
            keep_empty: Give a batch whose images all cannot be read, too.
            workers: In place of the split's own number; 0 is best for few images.
        """
        order = self.usable if order is None else order
        chunks = list(order.split(batch_size)) if len(order) else []
        if drop_last and len(chunks) > 1 and len(chunks[-1]) < batch_size:
            chunks.pop()
        if self.failed:
            readable = torch.zeros(len(self.split), dtype=torch.bool)
            readable[self.usable] = True
            chunks = [chunk[readable[chunk]] for chunk in chunks]
        if not keep_empty:
            chunks = [chunk for chunk in chunks if len(chunk)]
        if not chunks:
            return
        if self._pixels is not None:
            pixels = self._pixels
            places = torch.cat(chunks).to(pixels.device)  # one copy, for a copy is waited for
            for indices, rows in zip(chunks, places.split([*map(len, chunks)]), strict=True):
                yield Batch(pixels[rows], indices)
            return
        if self._mapped is not None:
            yield from self._from_map(*self._mapped, chunks)
            return
        loader = DataLoader(
            self._decoder,
            batch_sampler=[chunk.tolist() for chunk in chunks],
            num_workers=self._workers if workers is None else workers,
            collate_fn=list,
            generator=torch.Generator(),  # otherwise it takes a number from everybody's
        )
        for items in loader:
            good = [item for item in items if not isinstance(item[1], str)]
            for index, reason in items:
                if isinstance(reason, str):
                    self._fail(index, reason)
            if good or keep_empty:
                size = self.image_size
                faces = np.array([face for _, face in good], dtype=np.uint8)
                yield Batch(
                    torch.from_numpy(faces.reshape(-1, 3, size, size)),
                    torch.tensor([index for index, _ in good], dtype=torch.int64),
                )

    @staticmethod
    def _from_map(
        array: torch.Tensor, rows: torch.Tensor, chunks: list[torch.Tensor]
    ) -> Iterator[Batch]:
        """Each batch is read from the disk while the one before it is in use."""

        def read(indices: torch.Tensor) -> Batch:
            return Batch(array[rows[indices]].permute(0, 3, 1, 2), indices)

        with ThreadPoolExecutor(1) as pool:
            ahead = [pool.submit(read, indices) for indices in chunks[:1]]
            for indices in chunks[1:]:
                ahead.append(pool.submit(read, indices))
                yield ahead.pop(0).result()
            if ahead:
                yield ahead.pop().result()

    def _fail(self, index: int, reason: str) -> None:
        self.failed[self.split.samples[index].name] = reason
        self._usable = self._usable[self._usable != index]

    def _fill(self, quiet: bool) -> None:
        size = self.image_size
        if self._mapped is not None:
            array, rows = self._mapped
            pixels = torch.empty((len(rows), 3, size, size), dtype=torch.uint8)
            for part, places in zip(pixels.split(_COPIED), rows.split(_COPIED), strict=True):
                part.copy_(array[places].permute(0, 3, 1, 2))
            self._pixels = pixels
            return
        pixels = torch.zeros((len(self.split), 3, size, size), dtype=torch.uint8)
        with ThreadPoolExecutor(max(1, self._workers)) as pool:
            items = pool.map(self._decoder.__getitem__, range(len(self.split)))
            label = f"reading {self.split.dataset} {self.split.split}"
            for index, item in track(items, label, total=len(self.split), quiet=quiet):
                if isinstance(item, str):
                    self._fail(index, item)
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
