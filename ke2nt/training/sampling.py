"""Which images each step of an epoch takes, and in which order."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ke2nt.config.schema import TrainConfig
from ke2nt.data.tensors import Batch
from ke2nt.errors import TrainingError
from ke2nt.runtime.distributed import process_rows, world_size
from ke2nt.runtime.seeding import torch_generator
from ke2nt.training.training_data import TrainingData

__all__ = ["EpochBatches", "epoch_order", "global_batch_size", "image_weights", "mix_in_synthetic"]


class EpochBatches:
    """Shuffled batches of a training split; each process reads its share.

    Args:
        data: Training images.
        config: Seed and sampling.
        batch_size: Images of a step, over all processes.
        section: Section of the configuration that has `batch_size`, for messages.

    Attributes:
        batch_size: The same, or fewer where the split is smaller.
        share: Images of a step in each process.
        steps_per_epoch: Steps in an epoch. Images that do not fill a batch are left out.

    Raises:
        TrainingError: The processes cannot share a batch equally.
    """

    def __init__(
        self, data: TrainingData, config: TrainConfig, batch_size: int, section: str
    ) -> None:
        images = len(data.real_positions) + data.synthetic_per_epoch
        self.batch_size = global_batch_size(batch_size, images, section)
        self.share = self.batch_size // world_size()
        self.steps_per_epoch = images // self.batch_size
        self._data = data
        self._classes = torch.from_numpy(data.train.split.labels())
        self._seed, self._sampling = config.seed, config.data.sampling

    def order(self, epoch: int) -> Tensor:
        """Return the positions (steps, share) in the split of this process's images."""
        data, generator = self._data, torch_generator(self._seed, "order", epoch)
        order = epoch_order(data.real_positions, self._classes, self._sampling, generator)
        order = mix_in_synthetic(
            order, data.synthetic_positions, data.synthetic_per_epoch, generator
        )

        # (steps, batch) for all processes, then every W-th image of each batch
        batches = order[: self.steps_per_epoch * self.batch_size].view(-1, self.batch_size)
        return batches[:, process_rows()]

    def read(self, order: Tensor) -> Iterator[Batch]:
        """Read the images of some steps, given rows of `order`."""
        # a batch without any readable image still counts as a step
        return self._data.train.batches(order.shape[1], order=order.flatten(), keep_empty=True)


def global_batch_size(batch_size: int, images: int, section: str = "optim") -> int:
    """Return the number of images of a step, over all processes.

    Args:
        batch_size: The configured number.
        images: Images of an epoch.
        section: Section of the configuration that has `batch_size`, for messages.

    Raises:
        TrainingError: The processes cannot share a batch equally.
    """
    processes = world_size()
    if batch_size % processes or images < processes:
        raise TrainingError(
            "the processes cannot share a batch equally",
            expected=f"{section}.batch_size a multiple of {processes}, and as many images",
            found=f"{section}.batch_size={batch_size}, {images} images",
        )
    return min(batch_size, images - images % processes)


def epoch_order(
    positions: Tensor, classes: Tensor, sampling: str, generator: torch.Generator
) -> Tensor:
    """Return the positions of an epoch's images in the order in which they are read.

    Args:
        positions: (N,) positions in the split.
        classes: (M,) class index of every position of the split.
        sampling: "natural": each image once. "sqrt", "balanced": N draws with replacement; an image
            of a class with n images has the weight n^-1/2 or 1/n.
        generator: CPU generator.
    """
    if sampling == "natural":
        return positions[torch.randperm(len(positions), generator=generator)]

    weights = image_weights(classes[positions], sampling)
    drawn = torch.multinomial(weights, len(positions), replacement=True, generator=generator)
    return positions[drawn]


def image_weights(labels: Tensor, sampling: str) -> Tensor:
    """Return how often each of N images is drawn, relative to the others.

    Args:
        labels: (N,) class index of each image.
        sampling: "natural", "sqrt" or "balanced", see `epoch_order`.

    Returns:
        (N,) float64.
    """
    counts = labels.bincount().double().clamp(min=1.0)
    power = {"natural": 0.0, "sqrt": -0.5, "balanced": -1.0}[sampling]
    return counts.pow(power)[labels]


def mix_in_synthetic(
    order: Tensor, synthetic: Tensor, count: int, generator: torch.Generator
) -> Tensor:
    """Mix synthetic images into an epoch's order.

    Args:
        order: (N,) positions of real images.
        synthetic: (P,) positions of synthetic ones.
        count: How many synthetic images to take; how often each is taken differs by at most one.
        generator: CPU generator.
    """
    if not count:
        return order

    # every round takes each image once
    rounds = -(-count // len(synthetic))
    drawn = torch.cat([torch.randperm(len(synthetic), generator=generator) for _ in range(rounds)])
    mixed = torch.cat([order, synthetic[drawn[:count]]])
    return mixed[torch.randperm(len(mixed), generator=generator)]
