"""The preprocessing of an image tower as data, and its check against the tower."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ke2nt.errors import ModelError

__all__ = ["ImagePreprocessing"]

# open_clip's settings and the values that they may have; the first one is its default
_CHOICES = {
    "resize_mode": ("shortest", "squash", "longest"),
    "interpolation": ("bicubic", "bilinear"),
    "mode": ("RGB",),
}


@dataclass(frozen=True, slots=True)
class ImagePreprocessing:
    """From RGB pixels of any size to the input of an image tower.

    Attributes:
        size: Height and width of the input in pixels.
        resize_mode: Crop mode: "shortest" side to size and center crop; "squash" to size, aspect
            ratio ignored; or "longest" side to size and pad.
        interpolation: "bicubic" or "bilinear", antialiased; models of transformers may have
            another one of Pillow's.
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
    def from_open_clip(
        cls, tower_size: Any, settings: Mapping[str, Any], *, where: str
    ) -> ImagePreprocessing:
        """Read open_clip's settings and check them against the image tower.

        Args:
            tower_size: Input size of the tower: a number, or (height, width).
            settings: Values under open_clip's names, those of its `PreprocessCfg`.
            where: The model, for messages.

        Raises:
            ModelError: Mean or standard deviation is missing, the size is not the tower's, or a
                value is unknown.
        """
        # settings without a size take the tower's
        size = _pair(tower_size)
        _check_size(size, _pair(settings.get("size", tower_size)), where)
        _check_choices(settings, where)

        # open_clip's own mean and std are defaults of its code, not of a saved folder
        mean = _read_statistic(settings, "mean", where)
        std = _read_statistic(settings, "std", where)
        if min(std) <= 0:
            raise ModelError("std in the preprocessing must be positive", found=std, where=where)

        return cls(
            size=size,
            resize_mode=settings.get("resize_mode", "shortest"),
            interpolation=settings.get("interpolation", "bicubic"),
            mean=mean,
            std=std,
            fill_color=int(settings.get("fill_color", 0)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value, under open_clip's names."""
        lists = {name: list(getattr(self, name)) for name in ("size", "mean", "std")}
        return {**asdict(self), **lists}


def _pair(size: Any) -> tuple[int, int]:
    """A size as (height, width)."""
    if isinstance(size, list | tuple):
        height, width = size if len(size) == 2 else (size[0], size[0])
        return int(height), int(width)
    return int(size), int(size)


def _check_size(tower: tuple[int, int], requested: tuple[int, int], where: str) -> None:
    if requested != tower:
        raise ModelError(
            "the preprocessing does not fit the image tower",
            expected=f"size {tower}, as the tower reads",
            found=requested,
            where=where,
        )


def _check_choices(settings: Mapping[str, Any], where: str) -> None:
    for name, allowed in _CHOICES.items():
        if settings.get(name, allowed[0]) not in allowed:
            raise ModelError(
                f"unknown {name} in the preprocessing",
                expected=f"one of {', '.join(allowed)}",
                found=settings[name],
                where=where,
            )


def _read_statistic(
    settings: Mapping[str, Any], name: str, where: str
) -> tuple[float, float, float]:
    values = settings.get(name)
    if not isinstance(values, list | tuple) or len(values) != 3:
        raise ModelError(
            f"the preprocessing has no {name}",
            expected="three numbers under preprocess_cfg",
            found=values,
            where=where,
        )
    red, green, blue = (float(value) for value in values)
    return red, green, blue
