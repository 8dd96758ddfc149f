"""Random changes of a whole batch on its device, each sample on its own.

Flip, rotation, zoom, shift and padded crop are one affine resampling; brightness, contrast and
erasing follow. All random numbers come from one CPU generator, so that a step is the same on every
device.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ke2nt.config.schema import AugmentConfig

__all__ = ["BatchAugmentation"]

_MAX_ASPECT = 3.3


class BatchAugmentation:
    """Augment batches as a configuration says.

    Args:
        config: Probabilities and ranges.
        erase_value: Value in 0..255 per channel that erased regions take, usually the mean.
    """

    def __init__(
        self, config: AugmentConfig, erase_value: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ) -> None:
        self.config = config
        self.erase_value = erase_value

    def __call__(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Augment a batch.

        Args:
            pixels: (B, 3, S, S), uint8 or float, in 0..255.
            generator: CPU generator; the result is a function of its state and the pixels.

        Returns:
            float32 (B, 3, S, S) in 0..255.
        """
        images = pixels.float()
        images = self._geometry(images, generator)
        images = self._colour(images, generator)
        return self._erase(images, generator)

    def _geometry(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        c = self.config
        count, side = images.shape[0], images.shape[-1]
        # Draws happen whether or not an option is on, so that one option does not reseed another.
        flip = torch.rand(count, generator=generator) < c.flip
        angle = _symmetric(count, generator) * math.radians(c.rotate)
        zoom = 1.0 + _symmetric(count, generator) * c.scale
        shift = _symmetric((count, 2), generator) * 2.0 * c.translate
        cropped = torch.rand(count, generator=generator) < c.crop
        span = 2 * c.crop_padding + 1
        corner = torch.randint(0, span, (count, 2), generator=generator) - c.crop_padding
        shift = shift + torch.where(cropped[:, None], corner * (2.0 / side), torch.zeros(()))
        if not (c.rotate or c.scale or c.translate or (c.crop and c.crop_padding)):
            mirrored = flip.to(images.device).view(-1, 1, 1, 1)
            return torch.where(mirrored, images.flip(-1), images)
        cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        mirror = torch.where(flip, -1.0, 1.0)
        theta = torch.stack(
            [
                torch.stack([cos * mirror, -sin, shift[:, 0]], dim=1),
                torch.stack([sin * mirror, cos, shift[:, 1]], dim=1),
            ],
            dim=1,
        ).to(images.device)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode=c.fill, align_corners=False)

    def _colour(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        c, count = self.config, images.shape[0]
        bright = 1.0 + _symmetric(count, generator) * c.brightness
        contrast = 1.0 + _symmetric(count, generator) * c.contrast
        if not (c.brightness or c.contrast):
            return images
        bright = bright.to(images.device).view(-1, 1, 1, 1)
        contrast = contrast.to(images.device).view(-1, 1, 1, 1)
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        return (((images - mean) * contrast + mean) * bright).clamp(0.0, 255.0)

    def _erase(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        c = self.config
        count, side = images.shape[0], images.shape[-1]
        on = torch.rand(count, generator=generator) < c.erase
        low, high = c.erase_area
        area = (low + (high - low) * torch.rand(count, generator=generator)) * side**2
        aspect = torch.exp(_symmetric(count, generator) * math.log(_MAX_ASPECT))
        place = torch.rand((count, 2), generator=generator)
        if not c.erase:
            return images
        height = (area * aspect).sqrt().round().clamp(1, side)
        width = (area / aspect).sqrt().round().clamp(1, side)
        top = (place[:, 0] * (side - height + 1)).floor()
        left = (place[:, 1] * (side - width + 1)).floor()
        line = torch.arange(side)
        rows = (line >= top[:, None]) & (line < (top + height)[:, None])
        columns = (line >= left[:, None]) & (line < (left + width)[:, None])
        mask = (rows[:, :, None] & columns[:, None, :] & on[:, None, None])[:, None]
        value = torch.tensor(self.erase_value, device=images.device).view(1, 3, 1, 1)
        return torch.where(mask.to(images.device), value, images)


def _symmetric(shape: int | tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Uniform in [−1, 1)."""
    return torch.rand(shape, generator=generator) * 2.0 - 1.0
