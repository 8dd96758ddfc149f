"""Image files to RGB pixels: the one place that opens image files, with one kind of error."""

from __future__ import annotations

import io
import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ke2nt.data.sample import ChangedImage, ImageSource, PackedImage
from ke2nt.errors import DataError, ImageReadError

__all__ = [
    "MAX_PIXELS",
    "ImageHeader",
    "decode",
    "encode_png",
    "is_image_name",
    "jpeg_compressed",
    "median_side",
    "probe",
]

MAX_PIXELS = 64 * 1024 * 1024
"""Most pixels that are decoded; a larger image is refused as a decompression bomb."""

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")
_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".png", ".bmp", ".gif"),
    *(".tif", ".tiff", ".webp", ".ppm", ".pgm"),
)
_LOOKED_AT = 100
_GRAY_BEHIND = (128, 128, 128, 255)
_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class ImageHeader(NamedTuple):
    """What an image file says of itself: pixels as stored, before any turn, and its true format."""

    width: int
    height: int
    format: str


def is_image_name(path: str | Path) -> bool:
    """Whether a file name looks like an image's; hidden files ("._face.png") do not."""
    path = Path(path)
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")


def probe(path: Path) -> ImageHeader:
    """Size and format from an image's header; the pixels are not decoded.

    Raises:
        ImageReadError: The file is absent, empty or no image.
    """
    try:
        with _open(path) as image:
            return ImageHeader(*image.size, image.format or "")
    except Exception as error:
        raise _failure(path, error) from error


def median_side(sources: Sequence[ImageSource]) -> int | None:
    """Median of the longer sides in pixels of up to a hundred pictures; None if none can be read.

    Of a packed picture, its side before it was packed if that was smaller.
    """
    sides = []
    for source in sources[:: max(1, len(sources) // _LOOKED_AT)]:
        with suppress(ImageReadError):
            side = max(decode(source).shape[:2])
            known = source.side if isinstance(source, PackedImage) else None
            sides.append(side if known is None else min(side, known))
    return statistics.median_low(sides) if sides else None


def decode(
    source: ImageSource, *, size: int | None = None, interpolation: str = "bicubic"
) -> np.ndarray:
    """Pixels of an image as 8-bit RGB.

    The content decides the format, not the name. Gray, palette and CMYK become RGB; 16-bit gray is
    scaled to 8 bits; transparency is laid over mid gray (128); EXIF orientation is applied; of an
    animation the first frame is taken.

    Args:
        source: An image file, uint8 pixels (H, W), (H, W, 1) or (H, W, 3) in RGB order, a place in
            a packed split, or an image changed.
        size: Side of the square to resize to, antialiased, aspect ignored; None keeps the size. A
            JPEG is then decoded at a reduced scale where it is at least six times larger.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos".

    Returns:
        uint8 (H, W, 3), or (size, size, 3).

    Raises:
        ImageReadError: The image is absent, empty, damaged, no image, or has over `MAX_PIXELS`.
        DataError: The interpolation is not known.
    """
    if interpolation not in _FILTERS:
        raise DataError(
            "unknown interpolation", expected=f"one of {', '.join(_FILTERS)}", found=interpolation
        )
    try:
        if isinstance(source, ChangedImage):
            source = source.change(decode(source.source))
        if isinstance(source, PackedImage):
            source = source.read()
        if isinstance(source, np.ndarray):
            return _finish(_from_array(source), 1, size, interpolation)
        with _open(source) as image:
            if size is not None:
                image.draft(None, (3 * size, 3 * size))
            _refuse_bomb(image)
            image.load()
            return _finish(_to_rgb(image), _orientation(image), size, interpolation)
    except ImageReadError:  # of the image that is changed
        raise
    # Decoders raise nearly anything on damaged bytes: OSError, SyntaxError, struct.error, KeyError.
    except Exception as error:
        raise _failure(source, error) from error


def encode_png(pixels: np.ndarray) -> bytes:
    """uint8 (H, W, 3) RGB pixels as a PNG file, gray where the three channels are equal."""
    gray = (pixels == pixels[:, :, :1]).all()
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if gray else pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def jpeg_compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Pixels after JPEG.

    Args:
        pixels: uint8 (H, W, 1) or (H, W, 3), RGB.
        quality: 1 to 95, as libjpeg counts.

    Returns:
        uint8, of the same shape.
    """
    file = io.BytesIO()
    gray = pixels.shape[2] == 1
    Image.fromarray(pixels[:, :, 0] if gray else pixels).save(file, "JPEG", quality=quality)
    with Image.open(file, formats=("JPEG",)) as image:
        return np.array(image).reshape(pixels.shape)


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    # Given a path, Pillow maps plain TIFFs into memory and scrambles those turned by EXIF.
    with open(path, "rb") as file, Image.open(file, formats=_FORMATS) as image:
        yield image


def _refuse_bomb(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError(f"{width} x {height} pixels, more than {MAX_PIXELS}")


def _from_array(pixels: np.ndarray) -> Image.Image:
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    gray = pixels.ndim == 2
    if pixels.dtype != np.uint8 or not (gray or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ValueError(f"{pixels.dtype} {pixels.shape}, not uint8 (H, W) or (H, W, 3)")
    if pixels.size == 0:
        raise ValueError("the array is empty")
    return Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its 32-bit pixels have no known range")
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("its floating-point pixels have no known range")
    if image.has_transparency_data:
        face = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", face.size, _GRAY_BEHIND), face).convert(
            "RGB"
        )
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged metadata does not make the pixels unreadable
        return 1


def _finish(image: Image.Image, turn: int, size: int | None, interpolation: str) -> np.ndarray:
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), _FILTERS[interpolation])
    if turn in _TURNS:
        image = image.transpose(_TURNS[turn])
    return np.array(image)


def _failure(source: ImageSource, error: Exception) -> ImageReadError:
    if not isinstance(source, Path):
        return ImageReadError("pixels cannot be used as an image", found=error)
    hint = None
    reason: object = error or type(error).__name__
    if isinstance(error, FileNotFoundError):
        reason = "no such file"
    elif isinstance(error, IsADirectoryError):
        reason = "a folder"
    elif isinstance(error, PermissionError):
        reason = "a file that may not be read"
    elif os.path.isfile(source) and os.path.getsize(source) == 0:
        reason = "an empty file"
    elif isinstance(error, Image.UnidentifiedImageError):
        reason = "content that is no JPEG, PNG, BMP, GIF, TIFF, WebP, PPM or JPEG 2000 image"
    elif isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        hint = "Make it smaller first."
    return ImageReadError("the image cannot be read", where=source, found=reason, hint=hint)
