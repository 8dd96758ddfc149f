"""Paths, PIL images and arrays, each as an upright frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ke2nt.data.images import ImageLike, decode, iterate_images
from ke2nt.errors import DataError, ImageReadError
from ke2nt.predict.frames import Frame

__all__ = ["ImageLike", "image_frames"]


def image_frames(images: ImageLike | Iterable[ImageLike]) -> Iterator[Frame]:
    """Decode images one by one; a file that cannot be read becomes a frame with a problem.

    Args:
        images: A path, a PIL image, a uint8 (H, W, 3) RGB or (H, W) gray array; or any number of
            them, including a (B, H, W, 3) array.

    Raises:
        DataError: A value is not an image, such as a float array or a number.
    """
    for index, image in enumerate(iterate_images(images)):
        yield _decode_frame(image, index)


def _decode_frame(image: ImageLike, index: int) -> Frame:
    is_file = isinstance(image, str | Path)
    name = str(image) if is_file else f"image {index}"
    try:
        return Frame(name, decode(image))
    except ImageReadError as error:
        # a bad file is part of life, a bad array is a mistake in the caller's code
        if is_file:
            return Frame(name, None, problem=str(error.found))
        raise DataError(f"{name} cannot be used", found=error.found) from error
