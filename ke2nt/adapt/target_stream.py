"""The stream of target batches beside the source batches."""

from __future__ import annotations

import torch

from ke2nt.data.tensors import Batch, FaceTensors
from ke2nt.errors import DataError
from ke2nt.runtime.distributed import world_size
from ke2nt.runtime.seeding import torch_generator

__all__ = ["TargetStream"]


class TargetStream:
    """An endless stream of target batches; each depends on the seed and its number alone.

    Each pass shows every image once, in a new random order.

    Args:
        images: The images.
        batch_size: Images per batch; fewer where there are fewer.
        seed: Seed of the order.
    """

    def __init__(self, images: FaceTensors, batch_size: int, seed: int) -> None:
        self.images = images
        self.positions = images.usable.clone()

        # a multiple of the number of processes, so that all shares are equal
        size = min(batch_size, len(self.positions))
        self.batch_size = max(size - size % world_size(), world_size())

        self._seed = seed
        self._cached_pass = -1
        self._cached_order = self.positions

    def indices(self, step: int) -> torch.Tensor:
        """Return the positions in the split of batch number `step`, int64 (B,)."""
        # positions in the stream count on over all passes
        count = len(self.positions)
        stream_positions = range(step * self.batch_size, (step + 1) * self.batch_size)
        return torch.stack([self._order(i // count)[i % count] for i in stream_positions])

    def batch(self, step: int, share: slice = slice(None)) -> Batch:
        """Return batch number `step`, or some rows of it.

        Raises:
            DataError: An image has become unreadable since the run began.
        """
        # unreadable images are left out of a batch, so its length tells
        indices = self.indices(step)[share]
        for batch in self.images.batches(len(indices), order=indices, workers=0):
            if len(batch.pixels) == len(indices):
                return batch
        raise DataError(
            "a target image became unreadable during the run",
            found="; ".join(f"{name}: {why}" for name, why in self.images.failed.items()),
            hint="Restore the image and resume the run, or start a new one.",
        )

    def _order(self, pass_number: int) -> torch.Tensor:
        """Return the order of one pass; only the latest is cached."""
        if self._cached_pass != pass_number:
            generator = torch_generator(self._seed, "target order", pass_number)
            order = torch.randperm(len(self.positions), generator=generator)
            self._cached_pass, self._cached_order = pass_number, self.positions[order]
        return self._cached_order
