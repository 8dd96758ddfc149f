"""Images of every kind to 8-bit RGB pixels: the one place that opens image files.

Every failure is an `ImageReadError`. No other file of this room imports Pillow.
"""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from ke2nt.data.picture_formats import (
    describe_content,
    is_image_name,
    is_raw_name,
    needs_heif,
    pillow_formats,
    register_heif,
)
from ke2nt.data.pixel_arrays import is_tensor, pixels_of_array, pixels_of_tensor
from ke2nt.data.sample import (
    ChangedImage,
    DamagedImage,
    EncodedImage,
    ImageSource,
    PackedImage,
)
from ke2nt.data.square import RESIZE_MODES, make_square
from ke2nt.data.video_frame import VideoFrame
from ke2nt.errors import DataError, ImageReadError

__all__ = [
    "INTERPOLATIONS",
    "MAX_PIXELS",
    "RESIZE_MODES",
    "ImageHeader",
    "ImageLike",
    "decode",
    "encode_png",
    "is_image_name",
    "iterate_images",
    "jpeg_compressed",
    "median_side",
    "not_an_image",
    "probe",
]

ImageLike: TypeAlias = str | Path | bytes | BinaryIO | np.ndarray | Image.Image
"""An image file: its path, content or open file; an array (H, W, 3) in RGB order or (H, W) gray,
uint8 or floating in 0..1; or a PIL image. Tensors (3, H, W) are taken, too."""

MAX_PIXELS = 64 * 1024 * 1024
"""Most pixels that are decoded; a larger image is refused as a decompression bomb."""

_UNKNOWN_CONTENT = (
    "content that is not a JPEG, PNG, BMP, GIF, TIFF, WebP, AVIF, PPM or JPEG 2000 image"
)
_MEDIAN_SAMPLES = 100
_HEAD_BYTES = 64
_TRANSPARENCY_GRAY = (128, 128, 128, 255)
_ORIENTATION_TAG = 0x0112
# EXIF orientation → how to turn the stored pixels upright
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_UPRIGHT = 1
_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}
INTERPOLATIONS = tuple(_FILTERS)


class _Target(NamedTuple):
    """The square to resize to, or a size of None, and how."""

    size: int | None
    resample: Image.Resampling
    mode: str


# Types of which a value is one image, although some of them can be iterated
_SINGLE = (
    *(str, Path, bytes, bytearray, memoryview, Image.Image),
    *(PackedImage, EncodedImage, VideoFrame, DamagedImage, ChangedImage),
)


class ImageHeader(NamedTuple):
    """Header of an image file: pixels as stored, before any rotation, and the actual format."""

    width: int
    height: int
    format: str


def iterate_images(images: Any) -> Iterable[Any]:
    """Single images of one image, a batch array (B, …) or an iterable of images.

    Args:
        images: Anything in `ImageLike`, a tensor, an `ImageSource`, or any iterable of them.

    Raises:
        DataError: The value is neither an image nor iterable.
    """
    if isinstance(images, _SINGLE) or hasattr(images, "read"):
        return [images]

    # arrays and tensors: with four dimensions a batch, with fewer one image
    if hasattr(images, "ndim"):
        return images if images.ndim == 4 else [images]

    if isinstance(images, Iterable):
        return images
    raise not_an_image(images)


def not_an_image(value: object) -> DataError:
    """The error for a value of a type that is never an image."""
    return DataError(
        "not an image",
        expected="a path, bytes, an open file, a PIL image, an array (H, W, 3) in RGB order or a "
        "tensor (3, H, W), uint8 or floating in 0..1",
        found=type(value).__name__,
    )


def probe(path: Path) -> ImageHeader:
    """Size and format from an image's header; the pixels are not decoded.

    Raises:
        ImageReadError: The file is missing, empty or not an image.
    """
    try:
        with _open(path) as image:
            return ImageHeader(*image.size, image.format or "")
    except Exception as error:
        raise _failure(path, error) from error


def median_side(sources: Sequence[ImageSource]) -> int | None:
    """Median of the longer sides in pixels, over up to a hundred of the images.

    A packed image counts with its side before packing if that was smaller.

    Returns:
        The side, or None if no image can be read.
    """
    sides = []
    # evenly spaced over the images
    for source in sources[:: max(1, len(sources) // _MEDIAN_SAMPLES)]:
        with suppress(ImageReadError):
            side = max(decode(source).shape[:2])
            original_side = source.side if isinstance(source, PackedImage) else None
            sides.append(side if original_side is None else min(side, original_side))
    return statistics.median_low(sides) if sides else None


def decode(
    source: ImageSource | ImageLike,
    *,
    size: int | None = None,
    interpolation: str = "bicubic",
    resize_mode: str = "squash",
) -> np.ndarray:
    """Pixels of an image as 8-bit RGB.

    The content decides the format, not the name. Gray, palette and CMYK become RGB; 16-bit gray is
    scaled to 8 bits; transparency is laid over mid gray (128); EXIF orientation is applied; an
    animation gives its first frame.

    Args:
        source: An image file, as a path, its content or an open file; pixels (H, W), (H, W, 1) or
            (H, W, 3) in RGB order, or a tensor (3, H, W), uint8 or floating in 0..1; a PIL image; a
            row of a packed split; or a changed image.
        size: Side of the square to resize to, antialiased; None keeps the size. A JPEG that is at
            least six times larger is decoded at a reduced scale.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos".
        resize_mode: "squash" ignores the aspect; "shortest" crops the longer side, "longest" pads
            the shorter one.

    Returns:
        uint8 (H, W, 3), or (size, size, 3).

    Raises:
        ImageReadError: The image is missing, empty, damaged, not an image, or has more than
            `MAX_PIXELS`.
        DataError: The interpolation, resize mode or type of the source is unknown.
    """
    if resize_mode not in RESIZE_MODES:
        raise DataError(
            "unknown resize_mode", expected=f"one of {', '.join(RESIZE_MODES)}", found=resize_mode
        )
    if interpolation not in _FILTERS:
        raise DataError(
            "unknown interpolation", expected=f"one of {', '.join(_FILTERS)}", found=interpolation
        )
    is_image = isinstance(source, (*_SINGLE, np.ndarray)) or hasattr(source, "read")
    if not is_image and not is_tensor(source):
        raise not_an_image(source)

    # The square to resize to, and how
    target = _Target(size, _FILTERS[interpolation], resize_mode)
    source = Path(source) if isinstance(source, str) else source

    try:
        if is_tensor(source):
            source = pixels_of_tensor(source)
        if isinstance(source, ChangedImage):
            source = source.change(decode(source.source))
        if isinstance(source, PackedImage | VideoFrame | DamagedImage):
            source = source.read()
        if isinstance(source, EncodedImage):
            source = source.content

        if isinstance(source, np.ndarray):
            pixels = np.ascontiguousarray(pixels_of_array(source))
            return _finish(Image.fromarray(pixels).convert("RGB"), _UPRIGHT, target)
        if isinstance(source, Image.Image):
            return _decode_pil(source, target)
        return _decode_file(_as_file(source), target)

    # The source of a changed image has its own message
    except ImageReadError:
        raise

    # Decoders raise nearly anything on damaged bytes: OSError, SyntaxError, struct.error, KeyError
    except Exception as error:
        raise _failure(source, error) from error


def encode_png(pixels: np.ndarray) -> bytes:
    """uint8 (H, W, 3) RGB pixels as a PNG file, gray if the three channels are equal."""
    # one channel makes a smaller file with the same pixels
    gray = (pixels == pixels[:, :, :1]).all()
    buffer = BytesIO()
    Image.fromarray(pixels[:, :, 0] if gray else pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def jpeg_compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Pixels after JPEG compression.

    Args:
        pixels: uint8 (H, W, 1) or (H, W, 3), RGB.
        quality: 1 to 95, on libjpeg's scale.

    Returns:
        uint8, same shape.
    """
    # one channel stays one channel
    file = BytesIO()
    gray = pixels.shape[2] == 1
    Image.fromarray(pixels[:, :, 0] if gray else pixels).save(file, "JPEG", quality=quality)
    with Image.open(file, formats=("JPEG",)) as image:
        return np.array(image).reshape(pixels.shape)


@contextmanager
def _open(path: Path | BytesIO) -> Iterator[Image.Image]:
    # Given a path, Pillow maps plain TIFFs into memory and scrambles those rotated by EXIF
    opened = nullcontext(path) if isinstance(path, BytesIO) else path.open("rb")
    name = path if isinstance(path, Path) else Path()
    with opened as file:
        head = file.read(_HEAD_BYTES)
        file.seek(0)
        formats = pillow_formats()
        if needs_heif(name, head) and register_heif():
            formats = ("HEIF",)
        elif is_raw_name(name):
            raise Image.UnidentifiedImageError(str(path))
        with Image.open(file, formats=formats) as image:
            yield image


def _as_file(source: Any) -> Path | BytesIO:
    """A path, or the content of a file: bytes, or what an open file still holds."""
    if isinstance(source, Path):
        return source
    content = source.read() if hasattr(source, "read") else source
    if not len(content):
        raise ValueError("an empty file")
    if isinstance(content, str):
        raise ValueError("a text file; open it with mode 'rb'")
    return BytesIO(bytes(content))


def _decode_file(path: Path | BytesIO, target: _Target) -> np.ndarray:
    with _open(path) as image:
        # a JPEG decoder reaches a reduced scale much faster than a resize does
        if target.size is not None:
            image.draft(None, (3 * target.size, 3 * target.size))

        _refuse_bomb(image)
        image.load()
        return _finish(_to_rgb(image), _orientation(image), target)


def _decode_pil(image: Image.Image, target: _Target) -> np.ndarray:
    # an image that is RGB or gray already may be of any size, as an array may be
    if image.mode not in ("RGB", "L"):
        _refuse_bomb(image)

    image.load()
    return _finish(_to_rgb(image), _orientation(image), target)


def _refuse_bomb(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError(f"{width} x {height} pixels, more than {MAX_PIXELS}")


def _to_rgb(image: Image.Image) -> Image.Image:
    # 16-bit gray, which Pillow also stores as 32-bit integers
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit pixels have no fixed range")
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")

    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range")

    if image.has_transparency_data:
        face = image.convert("RGBA")
        background = Image.new("RGBA", face.size, _TRANSPARENCY_GRAY)
        return Image.alpha_composite(background, face).convert("RGB")
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, _UPRIGHT))
    except Exception:  # damaged metadata does not make the pixels unreadable
        return _UPRIGHT


def _finish(image: Image.Image, orientation: int, target: _Target) -> np.ndarray:
    """Resize to a square, if one is asked for, and turn upright."""
    size, resample, mode = target
    # this may come first, as a square stays a square when it is turned
    if size is not None and mode == "squash":
        image = make_square(image, size, resample, mode)
    if orientation in _TRANSPOSES:
        image = image.transpose(_TRANSPOSES[orientation])
    # a crop depends on what is up
    if size is not None and mode != "squash":
        image = make_square(image, size, resample, mode)
    return np.array(image)


def _failure(source: ImageSource | ImageLike, error: Exception) -> ImageReadError:
    """The error that says in plain words why an image cannot be read."""
    if not isinstance(source, Path):
        # an image without a name: bytes or an open file
        if isinstance(error, Image.UnidentifiedImageError):
            head = source[:_HEAD_BYTES] if isinstance(source, bytes) else b""
            error = ValueError(_reason(Path(), error, head))
        return ImageReadError("pixels cannot be used as an image", found=error)

    found = _reason(source, error, _read_head(source))
    return ImageReadError("the image cannot be read", where=source, found=found)


def _reason(path: Path, error: Exception, head: bytes) -> object:
    # Pillow's messages name byte offsets and modules; these name what to look for
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "a folder"
    if isinstance(error, PermissionError):
        return "a file without read permission"
    if os.path.isfile(path) and os.path.getsize(path) == 0:
        return "an empty file"

    known = describe_content(path, head)
    if known is not None:
        return known
    if isinstance(error, Image.UnidentifiedImageError):
        return _UNKNOWN_CONTENT
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        # Pillow names a limit of its own, which is higher
        count = re.search(r"\((\d+ pixels)\)", str(error))
        size = f"{count[1]}, more than {MAX_PIXELS}" if count else error
        return f"{size}; reduce its size first"
    return error or type(error).__name__


def _read_head(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return b""
