"""From decoded pixels to what a model sees; stored with every model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from ke2nt.data.constants import device_constant
from ke2nt.errors import CheckpointError, ConfigError

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Preprocessing"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_LUMA = (0.299, 0.587, 0.114)
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "nearest")


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an RGB face crop becomes a model's input.

    Attributes:
        image_size: Side of the square input in pixels; the crop is resized to it, aspect ignored,
            as faces are cropped square.
        mean: Per-channel mean of pixels in [0, 1], RGB.
        std: Per-channel standard deviation of pixels in [0, 1], RGB.
        interpolation: "bilinear", "bicubic", "lanczos" or "nearest", antialiased.
        gray: Whether color is removed first (Rec. 601 luma, repeated over three channels).

    Raises:
        ConfigError: A value is out of range.
    """

    image_size: int = 112
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: str = "bicubic"
    gray: bool = False

    def __post_init__(self) -> None:
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

    def to_input(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalize a batch.

        Args:
            pixels: (B, 3, H, W), uint8 or float, in 0..255.

        Returns:
            float32 (B, 3, H, W), (pixels / 255 − mean) / std.
        """
        factor, shift, luma = (
            device_constant(values, pixels).view(1, 3, 1, 1)
            for values in (
                tuple(1 / (255 * std) for std in self.std),
                tuple(-mean / std for mean, std in zip(self.mean, self.std, strict=True)),
                _LUMA,
            )
        )
        pixels = pixels.float()
        if self.gray:
            pixels = (pixels * luma).sum(dim=1, keepdim=True)
        return torch.addcmul(shift, pixels, factor)  # one pass

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

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
