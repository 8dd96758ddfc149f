"""Paths, folders, patterns, open files, arrays and tensors, each image as an upright frame."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ke2nt.data.images import ImageLike, decode, iterate_images
from ke2nt.errors import DataError, ImageReadError
from ke2nt.predict.frames import Frame
from ke2nt.predict.paths import expand_paths
from ke2nt.runtime.formatting import printable

__all__ = ["ImageLike", "image_frames", "image_readers"]


def image_frames(images: ImageLike | Iterable[ImageLike]) -> Iterator[Frame]:
    """Decode images one by one; a file that cannot be read becomes a frame with a problem.

    Args:
        images: Anything in `ImageLike`, a tensor (3, H, W), a folder or a pattern such as "*.jpg";
            or any number of them, including an array (B, H, W, 3) or a tensor (B, 3, H, W).

    Raises:
        DataError: A value is not an image, such as a number or an array of another shape or range;
            or a folder has no image.
    """
    return (read if isinstance(read, Frame) else read() for read in image_readers(images))


def image_readers(
    images: ImageLike | Iterable[ImageLike],
) -> Iterator[Frame | Callable[[], Frame]]:
    """As `image_frames`, but files that are named are decoded by the call, in any thread."""
    for index, image in enumerate(iterate_images(images)):
        if isinstance(image, str | Path):
            yield from _list_files(str(image))
        else:
            # the caller may change an array or an open file afterwards
            yield _decode_frame(image, _pick_name(image, index))


def _list_files(name: str) -> Iterator[Frame | Callable[[], Frame]]:
    """Readers of a file, or of all images of a folder or pattern."""
    if not os.path.isdir(name) and (os.path.exists(name) or not glob.has_magic(name)):
        yield partial(_decode_frame, name, name)
        return

    # videos are named, not skipped: nobody expects that they are missing
    is_empty = True
    for kind, path in expand_paths([name]):
        is_empty = False
        if kind == "video":
            yield Frame(str(path), None, problem="a video, see Recognizer.predict_video")
        else:
            yield partial(_decode_frame, str(path), str(path))
    if is_empty:
        raise DataError("no image found", where=name)


def _pick_name(image: Any, index: int) -> str:
    """Name of an open file, or "image 3"."""
    name = getattr(image, "name", None) if hasattr(image, "read") else None
    return name if isinstance(name, str) else f"image {index}"


def _decode_frame(image: Any, name: str) -> Frame:
    # a bad file is part of life, a bad array is a mistake in the caller's code
    is_file = isinstance(image, str | bytes | bytearray | memoryview) or hasattr(image, "read")
    try:
        return Frame(printable(name), decode(image))
    except ImageReadError as error:
        if is_file:
            return Frame(printable(name), None, problem=str(error.found))
        raise DataError(f"{name} cannot be used", found=error.found) from error
