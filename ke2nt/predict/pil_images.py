"""Images resized to any width and height, and written to files, with Pillow."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ke2nt.runtime.atomic import write_bytes

__all__ = ["encode_jpeg", "resize", "write_image"]

_JPEG_QUALITY = 92


def resize(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize uint8 (H, W, 3) pixels to (height, width, 3), bilinear and antialiased."""
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """Encode uint8 (H, W, 3) pixels as a JPEG file."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 (H, W, 3) pixels as a JPEG or PNG file, depending on the suffix."""
    buffer = BytesIO()
    image_format = "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG"
    Image.fromarray(pixels).save(buffer, image_format, quality=_JPEG_QUALITY)
    write_bytes(path, buffer.getvalue())
