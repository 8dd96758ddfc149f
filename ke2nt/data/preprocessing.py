"""From images to the input of a model; stored with every model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ke2nt.data.device_constants import device_constant
from ke2nt.data.images import INTERPOLATIONS, RESIZE_MODES, ImageLike, decode, iterate_images
from ke2nt.data.sample import ImageSource
from ke2nt.errors import CheckpointError, ConfigError, DataError
from ke2nt.runtime.renamed import warn_renamed

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "ModelImage", "Preprocessing"]

ModelImage: TypeAlias = ImageLike | Tensor | ImageSource
"""Anything in `ImageLike`, a uint8 tensor (3, H, W) in RGB order, or the source of a sample."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Rec. 601
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How RGB face crops become the input of a model.

    Call it with images of any kind and size for a batch that the model takes. `resize` and
    `normalize` are its two steps, for code that handles pixels between them.

    Attributes:
        image_size: Side of the square input in pixels.
        mean: Per-channel mean of pixels in [0, 1], RGB.
        std: Per-channel standard deviation of pixels in [0, 1], RGB.
        interpolation: "bilinear", "bicubic", "lanczos" or "nearest", antialiased.
        gray: Whether color is removed first (Rec. 601 luma, repeated over three channels).
        resize_mode: How an image that is not square becomes so: "squash" ignores its aspect, as
            faces are cropped square; "shortest" crops and "longest" pads the longer or shorter
            side, as some image towers do.

    Raises:
        ConfigError: A value is out of range.
    """

    image_size: int = 112
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: str = "bicubic"
    gray: bool = False
    resize_mode: str = "squash"

    def __post_init__(self) -> None:
        # Values from JSON are lists
        object.__setattr__(self, "mean", tuple(float(v) for v in self.mean))
        object.__setattr__(self, "std", tuple(float(v) for v in self.std))

        if not isinstance(self.image_size, int) or not 8 <= self.image_size <= 4096:
            raise ConfigError(
                "image_size is out of range", expected="8 to 4096", found=self.image_size
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ConfigError(
                "mean and std must have three values, std positive", found=(self.mean, self.std)
            )
        if self.interpolation not in INTERPOLATIONS:
            raise ConfigError(
                "unknown interpolation",
                expected=f"one of {', '.join(INTERPOLATIONS)}",
                found=self.interpolation,
            )
        if self.resize_mode not in RESIZE_MODES:
            raise ConfigError(
                "unknown resize_mode",
                expected=f"one of {', '.join(RESIZE_MODES)}",
                found=self.resize_mode,
            )

    def __call__(self, images: ModelImage | Iterable[ModelImage]) -> Tensor:
        """Decode, resize and normalize images.

        Args:
            images: One image or any number of them: paths, PIL images, uint8 arrays (H, W, 3) in
                RGB order or (H, W) gray, uint8 tensors (3, H, W), or a batch as an array
                (B, H, W, 3) or a tensor (B, 3, H, W). A single image gives a batch of one.

        Returns:
            float32 (B, 3, image_size, image_size), on the device of the tensors, otherwise on the
            CPU.

        Raises:
            ImageReadError: An image cannot be read.
            DataError: Something is not an image, such as a float array.
        """
        if isinstance(images, Tensor) and images.ndim == 4 and self._fits(images):
            return self.normalize(images)

        pixels = [self._pixels(image) for image in iterate_images(images)]
        side = self.image_size
        return self.normalize(torch.stack(pixels) if pixels else torch.empty(0, 3, side, side))

    def resize(self, image: ImageLike | ImageSource) -> np.ndarray:
        """Decode one image and resize it to the model's size.

        Returns:
            uint8 (image_size, image_size, 3), RGB.

        Raises:
            ImageReadError: The image cannot be read.
        """
        return decode(image, size=self.image_size, **self.resizing())

    def resizing(self) -> dict[str, str]:
        """Return how images are resized, as arguments of `decode` and `FaceTensors`."""
        return {"interpolation": self.interpolation, "resize_mode": self.resize_mode}

    def normalize(self, pixels: Tensor) -> Tensor:
        """Normalize a batch that is resized already.

        Args:
            pixels: (B, 3, H, W), uint8 or float, in 0..255.

        Returns:
            float32 (B, 3, H, W), (pixels / 255 − mean) / std.
        """
        # (pixels / 255 − mean) / std as one multiplication and one addition
        scale = tuple(1 / (255 * std) for std in self.std)
        offset = tuple(-mean / std for mean, std in zip(self.mean, self.std, strict=True))
        factor, shift, luma = (
            device_constant(values, pixels).view(1, 3, 1, 1) for values in (scale, offset, _LUMA)
        )

        pixels = pixels.float()
        if self.gray:
            pixels = (pixels * luma).sum(dim=1, keepdim=True)

        # in one pass over the pixels
        return torch.addcmul(shift, pixels, factor)

    def denormalize(self, images: Tensor) -> Tensor:
        """Inverse of `normalize`: float32 (B, 3, H, W) in 0..255; removed color stays removed."""
        scale, offset = (
            device_constant(tuple(255 * value for value in values), images).view(1, 3, 1, 1)
            for values in (self.std, self.mean)
        )
        return torch.addcmul(offset, images.float(), scale)

    def to_input(self, pixels: Tensor) -> Tensor:
        """Old name of `normalize`."""
        warn_renamed("method", "Preprocessing.to_input", "Preprocessing.normalize")
        return self.normalize(pixels)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        value = {**asdict(self), "mean": list(self.mean), "std": list(self.std)}
        # left out where it is the usual one: the value is part of cache keys
        if self.resize_mode == "squash":
            del value["resize_mode"]
        return value

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Preprocessing:
        """Inverse of `to_dict`.

        Raises:
            CheckpointError: Keys are missing or unknown.
        """
        # models saved before 0.2 spell the key "grey"
        renamed = {"gray" if key == "grey" else key: item for key, item in value.items()}
        try:
            return cls(**renamed)
        except (TypeError, ValueError) as error:
            raise CheckpointError("the stored preprocessing is not valid", found=error) from error

    def _fits(self, pixels: Tensor) -> bool:
        """Whether uint8 pixels have the model's size."""
        side = self.image_size
        return pixels.dtype == torch.uint8 and pixels.shape[-3:] == (3, side, side)

    def _pixels(self, image: Any) -> Tensor:
        """uint8 (3, image_size, image_size) of one image."""
        if not isinstance(image, Tensor):
            return torch.from_numpy(np.ascontiguousarray(self.resize(image).transpose(2, 0, 1)))
        # nothing to decode or to resize
        if self._fits(image) and image.ndim == 3:
            return image

        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
            raise DataError(
                "the tensor is not an image",
                expected="uint8 (3, H, W) or (B, 3, H, W), RGB",
                found=f"{image.dtype} {tuple(image.shape)}",
                hint="Use Preprocessing.normalize for float pixels in 0..255.",
            )
        array = image.permute(1, 2, 0).cpu().numpy()
        return self._pixels(array).to(image.device)
