"""An image processor of transformers: checked against its image tower, and read as data."""

from __future__ import annotations

from typing import Any

from ke2nt.errors import ModelError
from ke2nt.vlm.image_preprocessing import ImagePreprocessing

__all__ = ["check_processor", "preprocessing_of", "processor_facts"]

# names of the processor's settings that are part of cache keys
_FACTS = (
    *("do_resize", "size", "resample", "do_center_crop", "crop_size"),
    *("do_rescale", "rescale_factor", "image_mean", "image_std"),
)
# Pillow's resampling filters by number
_INTERPOLATIONS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")


def check_processor(processor: Any, side: int, *, where: str) -> None:
    """Check that a processor makes what an image tower reads.

    Args:
        processor: An image processor of transformers.
        side: Side of the tower's square input in pixels.
        where: The model, for messages.

    Raises:
        ModelError: Its size is not the tower's, or it does not normalize three channels.
    """
    # without a crop the image is resized to its final size
    cropped = getattr(processor, "do_center_crop", False)
    size = dict((processor.crop_size if cropped else processor.size) or {})
    # height and width, or one side; keys that do not apply are None
    sides = {value for value in size.values() if value}
    if sides != {side}:
        raise ModelError(
            "the image processor does not fit the image tower",
            expected=f"images of {side} px, as the tower reads",
            found=f"{'crop_size' if cropped else 'size'} {size}",
            where=where,
        )

    # the image tower was trained on normalized images, so a missing step is an error
    normalizes = getattr(processor, "do_normalize", False)
    for name in ("image_mean", "image_std"):
        values = getattr(processor, name, None)
        if not normalizes or not values or len(values) != 3:
            raise ModelError(
                f"the image processor has no {name}",
                expected="do_normalize with three numbers",
                found=values,
                where=where,
            )


def processor_facts(processor: Any) -> dict[str, Any]:
    """Return the settings that decide the input, and the backend that resizes.

    Pillow and torchvision differ a little, so the backend belongs to the facts.
    """
    settings = processor.to_dict()
    facts = {name: settings[name] for name in _FACTS if settings.get(name) is not None}
    return {**facts, "backend": getattr(processor, "backend", "pil")}


def preprocessing_of(processor: Any, side: int) -> ImagePreprocessing:
    """Return a checked processor as data.

    Args:
        processor: An image processor that `check_processor` accepts.
        side: Side of the tower's square input in pixels.
    """
    keeps_aspect = getattr(processor, "do_center_crop", False)
    red, green, blue = (float(value) for value in processor.image_mean)
    red_std, green_std, blue_std = (float(value) for value in processor.image_std)
    return ImagePreprocessing(
        size=(side, side),
        resize_mode="shortest" if keeps_aspect else "squash",
        interpolation=_INTERPOLATIONS[int(processor.resample)],
        mean=(red, green, blue),
        std=(red_std, green_std, blue_std),
    )
