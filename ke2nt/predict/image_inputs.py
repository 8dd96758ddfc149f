"""What users call images: paths, PIL images and arrays, each as an upright frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ke2nt.data.images import decode
from ke2nt.errors import DataError, ImageReadError
from ke2nt.predict.annotate import is_pillow, to_pixels
from ke2nt.predict.frames import Frame

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageLike", "image_frames"]

ImageLike: TypeAlias = "str | Path | np.ndarray | Image"


def image_frames(images: ImageLike | Iterable[ImageLike]) -> Iterator[Frame]:
    """Decode images one by one; a file that cannot be read becomes a frame with a problem.

    Args:
        images: A path, a PIL image, a uint8 (H, W, 3) RGB or (H, W) gray array; or any number of
            them, a (B, H, W, 3) array included.

    Raises:
        DataError: Something is no image at all, such as a float array or a number.
    """
    single = isinstance(images, str | Path) or is_pillow(images)
    if single or (isinstance(images, np.ndarray) and images.ndim < 4):
        images = [images]  # type: ignore[list-item]
    elif not isinstance(images, Iterable):
        raise _not_an_image(images)
    for index, image in enumerate(images):
        yield _frame(image, index)


def _frame(image: object, index: int) -> Frame:
    if isinstance(image, str | Path):
        try:
            return Frame(str(image), decode(Path(image)))
        except ImageReadError as error:
            return Frame(str(image), None, problem=str(error.found))
    name = f"image {index}"
    try:
        if isinstance(image, np.ndarray):
            return Frame(name, decode(image))
        if is_pillow(image):
            return Frame(name, to_pixels(image))
    except ImageReadError as error:
        raise DataError(f"{name} cannot be used", found=error.found) from error
    raise _not_an_image(image)


def _not_an_image(value: object) -> DataError:
    return DataError(
        "not an image",
        expected="a path, a PIL image, or a uint8 array (H, W, 3) in RGB order",
        found=type(value).__name__,
    )
