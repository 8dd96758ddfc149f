"""Training images of a step: drawn changes, applied on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ke2nt.data.augmentation import BatchAugmentation, Draws
from ke2nt.data.degradation import degrade
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.tensors import Batch
from ke2nt.runtime.distributed import process_rows, world_size
from ke2nt.runtime.seeding import derive_seed, torch_generator
from ke2nt.training.compute import Compute
from ke2nt.training.task import Position

__all__ = ["ImageAugmenter", "StepImages"]


class StepImages(NamedTuple):
    """Images of a step and the random numbers to change them by.

    Attributes:
        pixels: uint8 (B, 3, S, S), this process's share, on the device.
        indices: (B,) positions in the split.
        draws: Random numbers of each image, on the CPU.
    """

    pixels: Tensor
    indices: Tensor
    draws: Draws


@dataclass(frozen=True)
class ImageAugmenter:
    """Changes training images at random; the same step always draws the same numbers.

    Attributes:
        augment: Kinds and probabilities of the changes.
        preprocessing: From pixels to the model's input.
        compute: Where the images are changed.
        seed: Seed of the run.
    """

    augment: BatchAugmentation
    preprocessing: Preprocessing
    compute: Compute
    seed: int

    def draw(self, batch: Batch, position: Position, stream: str = "augment") -> StepImages:
        """Move a batch to the device and draw its changes.

        Args:
            batch: This process's share, of any split in the model's size.
            position: Where the step stands.
            stream: Name of the random stream; two batches of one step need different names.
        """
        pixels = self.compute.to_device(self._degraded(batch.pixels, position, stream))
        generator = torch_generator(self.seed, stream, position.epoch, position.step)

        # all processes draw for the global batch and take their rows, so that their number does not
        # change the result
        count, side = len(pixels) * world_size(), pixels.shape[-1]
        draws = self.augment.draw(count, side, generator).rows(process_rows())
        return StepImages(pixels, batch.indices, draws)

    def _degraded(self, pixels: Tensor, position: Position, stream: str) -> Tensor:
        """Pixels as cameras and networks degrade them, on the CPU."""
        probability = self.augment.config.degrade
        if not probability:
            return pixels
        seed = derive_seed(self.seed, f"{stream} degrade", position.epoch, position.step)
        return degrade(pixels.cpu(), probability, seed, process_rows())

    def change(self, images: StepImages) -> Tensor:
        """Return the changed pixels in 0..255, float32 (B, 3, S, S)."""
        return self.augment.apply(images.pixels, Draws(*map(self.compute.to_device, images.draws)))

    def model_input(self, images: StepImages) -> Tensor:
        """Return the changed, normalized images, float32 (B, 3, S, S), channels last."""
        normalized = self.preprocessing.normalize(self.change(images))
        return normalized.contiguous(memory_format=torch.channels_last)
