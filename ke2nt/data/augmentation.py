"""Random changes of a whole batch on its device, independent for each sample.

Flip, rotation, zoom, shift and padded crop are one affine resampling; brightness, contrast and
erasing follow. All random numbers come from one CPU generator, so that a step is the same on every
device.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ke2nt.config.schema import AugmentConfig
from ke2nt.data.device_constants import device_constant

__all__ = ["BatchAugmentation", "Draws"]

# Largest ratio of height to width of an erased rectangle, and of width to height
_MAX_ASPECT = 3.3


class Draws(NamedTuple):
    """The random numbers of a batch, one row per sample.

    Attributes:
        flip: bool (B,), mirrored or not.
        affine: (B, 2, 3), map from positions in the output to positions in the image, both in half
            sides from the center; the mirror is part of it.
        brightness: (B,) factors around 1.
        contrast: (B,) factors around 1.
        erase: bool (B, 2, S): the rows and the columns of the erased rectangle.
    """

    flip: Tensor
    affine: Tensor
    brightness: Tensor
    contrast: Tensor
    erase: Tensor

    def rows(self, rows: slice) -> Draws:
        """The numbers of some samples."""
        return Draws(*(value[rows] for value in self))


class BatchAugmentation:
    """Augment batches by a configuration.

    Args:
        config: Probabilities and ranges.
        erase_value: Value in 0..255 per channel for erased regions, usually the mean.
    """

    def __init__(
        self, config: AugmentConfig, erase_value: tuple[float, ...] = (0.0, 0.0, 0.0)
    ) -> None:
        self.config = config
        self.erase_value = erase_value

    def __call__(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Augment a batch: `draw`, then `apply`."""
        draws = self.draw(len(pixels), pixels.shape[-1], generator)
        return self.apply(pixels, Draws(*(value.to(pixels.device) for value in draws)))

    def draw(self, count: int, side: int, generator: torch.Generator) -> Draws:
        """Draw the random numbers for `count` images of `side` pixels.

        Everything is drawn whether or not its option is on, so that one option does not reseed
        another. The order of the draws is part of every seed.

        Args:
            generator: CPU generator; the draws are a function of its state.
        """
        c = self.config
        flip = torch.rand(count, generator=generator) < c.flip
        angle = _symmetric(count, generator) * math.radians(c.rotate)
        zoom = 1.0 + _symmetric(count, generator) * c.scale

        # (B, 2) shift in half sides; a padded crop adds whole pixels to it
        shift = _symmetric((count, 2), generator) * 2.0 * c.translate
        cropped = torch.rand(count, generator=generator) < c.crop
        span = 2 * c.crop_padding + 1
        corner = torch.randint(0, span, (count, 2), generator=generator) - c.crop_padding
        shift = shift + torch.where(cropped[:, None], corner * (2.0 / side), torch.zeros(()))

        return Draws(
            flip=flip,
            affine=_affine(flip, angle, zoom, shift),
            brightness=1.0 + _symmetric(count, generator) * c.brightness,
            contrast=1.0 + _symmetric(count, generator) * c.contrast,
            erase=self._draw_rectangles(count, side, generator),
        )

    def apply(self, pixels: Tensor, draws: Draws) -> Tensor:
        """Change a batch by drawn numbers.

        Args:
            pixels: (B, 3, S, S), uint8 or float, in 0..255.
            draws: For these B images, on the same device.

        Returns:
            float32 (B, 3, S, S) in 0..255, on the device of the pixels.
        """
        images = self._resample(pixels.float(), draws)
        images = self._change_color(images, draws)
        return self._erase(images, draws)

    def _draw_rectangles(self, count: int, side: int, generator: torch.Generator) -> Tensor:
        """Rows and columns to erase, bool (B, 2, S)."""
        c = self.config
        erased = torch.rand(count, generator=generator) < c.erase
        low, high = c.erase_area
        area = (low + (high - low) * torch.rand(count, generator=generator)) * side**2
        aspect = torch.exp(_symmetric(count, generator) * math.log(_MAX_ASPECT))
        position = torch.rand((count, 2), generator=generator)

        # (B, 2) height and width, then the first row and column
        height = (area * aspect).sqrt().round().clamp(1, side)
        width = (area / aspect).sqrt().round().clamp(1, side)
        extent = torch.stack([height, width], dim=1)
        first = (position * (side - extent + 1)).floor()

        line = torch.arange(side)
        within = (line >= first[..., None]) & (line < (first + extent)[..., None])
        return within & erased[:, None, None]

    def _resample(self, images: Tensor, draws: Draws) -> Tensor:
        c = self.config

        # a mirror alone needs no interpolation
        if not (c.rotate or c.scale or c.translate or (c.crop and c.crop_padding)):
            return torch.where(draws.flip.view(-1, 1, 1, 1), images.flip(-1), images)
        grid = _sampling_grid(draws.affine, images)
        return F.grid_sample(images, grid, padding_mode=c.fill, align_corners=False)

    def _change_color(self, images: Tensor, draws: Draws) -> Tensor:
        if not (self.config.brightness or self.config.contrast):
            return images
        brightness = draws.brightness.view(-1, 1, 1, 1)
        factor = draws.contrast.view(-1, 1, 1, 1) * brightness
        # (B, 1, 1, 1) mean over pixels and channels
        mean = images.mean(dim=(1, 2, 3), keepdim=True)

        # ((x − mean) · contrast + mean) · brightness, in one pass over the pixels
        return torch.addcmul(mean * (brightness - factor), images, factor).clamp_(0.0, 255.0)

    def _erase(self, images: Tensor, draws: Draws) -> Tensor:
        if not self.config.erase:
            return images
        # (B, 1, S, S), true inside the rectangles
        mask = (draws.erase[:, 0, :, None] & draws.erase[:, 1, None])[:, None]
        value = device_constant(self.erase_value, images).view(1, -1, 1, 1)
        return torch.where(mask, value, images)


def _affine(flip: Tensor, angle: Tensor, zoom: Tensor, shift: Tensor) -> Tensor:
    """Maps (B, 2, 3) of a mirror, an angle in radians, a factor and a shift (B, 2) in x and y."""
    # rotation and zoom, with the mirror applied first
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    mirror = torch.where(flip, -1.0, 1.0)
    x_row = torch.stack([cos * mirror, -sin, shift[:, 0]], dim=1)
    y_row = torch.stack([sin * mirror, cos, shift[:, 1]], dim=1)
    return torch.stack([x_row, y_row], dim=1)


def _sampling_grid(maps: Tensor, images: Tensor) -> Tensor:
    """(B, S, S, 2) grid for `grid_sample`: the centers of the pixels under maps (B, 2, 3).

    One pass over the result, where `affine_grid` takes five.
    """
    side = images.shape[-1]
    line = device_constant(tuple((2 * i + 1) / side - 1 for i in range(side)), images)
    along_x, along_y, shift = maps.unbind(dim=2)
    rows = torch.addcmul(shift[:, None], line[:, None], along_y[:, None])
    return torch.addcmul(rows[:, :, None], line[:, None], along_x[:, None, None])


def _symmetric(shape: int | tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform in [−1, 1)."""
    return torch.rand(shape, generator=generator) * 2.0 - 1.0
