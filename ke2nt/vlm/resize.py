"""The preprocessing of open_clip models: resize, crop, normalize, bit for bit as open_clip does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as pictures

from ke2nt.errors import ModelError

__all__ = ["ResizeCrop"]

_INTERPOLATIONS = {"bicubic": InterpolationMode.BICUBIC, "bilinear": InterpolationMode.BILINEAR}
_MODES = ("shortest", "squash", "longest")


@dataclass(frozen=True, slots=True)
class ResizeCrop:
    """From RGB pixels of any size to the input of an image tower.

    Attributes:
        size: Height and width of the input in pixels.
        resize_mode: "shortest" side to size and center crop; "squash" to size, aspect ignored; or
            "longest" side to size and pad.
        interpolation: "bicubic" or "bilinear", antialiased.
        mean: Per-channel mean of pixels in [0, 1], RGB.
        std: Per-channel standard deviation of pixels in [0, 1], RGB.
        fill_color: Gray level of the padding, 0 to 255.
    """

    size: tuple[int, int]
    resize_mode: str
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fill_color: int = 0

    @classmethod
    def from_settings(cls, tower: Any, settings: Mapping[str, Any], *, where: str) -> ResizeCrop:
        """Read open_clip's settings and check them against the image tower.

        Args:
            tower: Size of the tower's input: a number, or (height, width).
            settings: Under open_clip's names.
            where: The model, for messages.

        Raises:
            ModelError: Mean or deviation is missing, the size is not the tower's, or a value is
                not known.
        """
        size = _pair(tower)
        asked = _pair(settings.get("size", tower))
        if asked != size:
            raise ModelError(
                "the preprocessing does not fit the image tower",
                expected=f"size {size}, as the tower reads",
                found=asked,
                where=where,
            )
        for name in ("mean", "std"):
            values = settings.get(name)
            if not isinstance(values, list | tuple) or len(values) != 3:
                raise ModelError(
                    f"the preprocessing has no {name}",
                    expected="three numbers under preprocess_cfg",
                    found=values,
                    where=where,
                )
        known = {"resize_mode": _MODES, "interpolation": tuple(_INTERPOLATIONS), "mode": ("RGB",)}
        for name, allowed in known.items():
            if settings.get(name, allowed[0]) not in allowed:
                raise ModelError(
                    f"unknown {name} in the preprocessing",
                    expected=f"one of {', '.join(allowed)}",
                    found=settings[name],
                    where=where,
                )
        mean, std = (tuple(float(v) for v in settings[name]) for name in ("mean", "std"))
        if min(std) <= 0:
            raise ModelError("std in the preprocessing must be positive", found=std, where=where)
        return cls(
            size=size,
            resize_mode=settings.get("resize_mode", "shortest"),
            interpolation=settings.get("interpolation", "bicubic"),
            mean=mean,  # type: ignore[arg-type]  # three values each, checked above
            std=std,  # type: ignore[arg-type]
            fill_color=int(settings.get("fill_color", 0)),
        )

    def facts(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {**asdict(self), **{n: list(getattr(self, n)) for n in ("size", "mean", "std")}}

    def pixels(self, rgb: np.ndarray) -> np.ndarray:
        """Resize and crop one image.

        Args:
            rgb: uint8 (H, W, 3).

        Returns:
            uint8 (3, height, width).
        """
        image = pictures.to_pil_image(rgb)
        mode = _INTERPOLATIONS[self.interpolation]
        height, width = self.size
        if self.resize_mode == "squash":
            image = pictures.resize(image, [height, width], mode)
        elif self.resize_mode == "shortest" and height == width:
            image = pictures.center_crop(pictures.resize(image, [height], mode), [height, width])
        else:
            longest = self.resize_mode == "longest"
            ratios = (rgb.shape[0] / height, rgb.shape[1] / width)
            ratio = max(ratios) if longest else min(ratios)
            # open_clip's own ratio-keeping resize is bicubic for sides that differ
            mode = mode if longest else InterpolationMode.BICUBIC
            target = [round(side / ratio) for side in rgb.shape[:2]]
            image = _crop_or_pad(pictures.resize(image, target, mode), self.size, self.fill_color)
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))

    def normalize(self, pixels: Tensor) -> Tensor:
        """float32 (B, 3, H, W), (pixels / 255 − mean) / std, of uint8 pixels of that shape."""
        shape = (1, 3, 1, 1)
        mean = torch.tensor(self.mean, dtype=torch.float32, device=pixels.device).view(shape)
        std = torch.tensor(self.std, dtype=torch.float32, device=pixels.device).view(shape)
        return pixels.to(torch.float32).div_(255).sub_(mean).div_(std)


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, list | tuple):
        height, width = size if len(size) == 2 else (size[0], size[0])
        return int(height), int(width)
    return int(size), int(size)


def _crop_or_pad(image: Any, size: tuple[int, int], fill: int) -> Any:
    """Center crop of a PIL image; sides that are too short are padded first."""
    gaps = [max(0, side - own) for side, own in zip(size[::-1], image.size, strict=True)]
    if any(gaps):
        before, after = [gap // 2 for gap in gaps], [(gap + 1) // 2 for gap in gaps]
        image = pictures.pad(image, [*before, *after], fill=fill)
    return pictures.center_crop(image, list(size))
