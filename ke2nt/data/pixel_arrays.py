"""Arrays and tensors of pixels, integer or floating, as 8-bit RGB or gray."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["is_tensor", "pixels_of_array", "pixels_of_tensor"]

_CHANNELS = (1, 3)


def is_tensor(value: object) -> bool:
    """Whether a value is a torch tensor, without importing torch."""
    return hasattr(value, "detach") and hasattr(value, "ndim")


def pixels_of_tensor(tensor: Any) -> np.ndarray:
    """Pixels of a tensor (3, H, W), (1, H, W) or (H, W): uint8, or floating in 0..1.

    Returns:
        uint8 (H, W, 3) or (H, W).

    Raises:
        ValueError: The shape, type or range is another one.
    """
    array = tensor.detach().cpu()
    array = (array.float() if array.is_floating_point() else array).numpy()
    found = f"a tensor of {array.dtype} {tuple(array.shape)}"
    if array.ndim == 3 and array.shape[0] not in _CHANNELS and array.shape[2] in _CHANNELS:
        raise ValueError(f"{found}: channels come first; use tensor.permute(2, 0, 1)")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[0] not in _CHANNELS):
        raise ValueError(f"{found}, not (3, H, W), (1, H, W) or (H, W)")

    return pixels_of_array(array if array.ndim == 2 else array.transpose(1, 2, 0))


def pixels_of_array(array: np.ndarray) -> np.ndarray:
    """Pixels of an array (H, W, 3), (H, W, 1) or (H, W): uint8, or floating in 0..1.

    Returns:
        uint8 (H, W, 3) or (H, W).

    Raises:
        ValueError: The shape, type or range is another one.
    """
    shape = f"an array of {array.dtype} {array.shape}"
    if array.ndim == 3 and array.shape[2] not in _CHANNELS and array.shape[0] in _CHANNELS:
        raise ValueError(f"{shape}: channels come last; use array.transpose(1, 2, 0)")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in _CHANNELS):
        raise ValueError(f"{shape}, not (H, W, 3) in RGB order, (H, W, 1) or (H, W)")
    if array.size == 0:
        raise ValueError(f"{shape}: it is empty")

    # one channel may come with or without its axis
    pixels = array[:, :, 0] if array.shape[2:] == (1,) else array
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"{shape}, not uint8 in 0..255 or floating in 0..1")
    return _to_bytes(pixels)


def _to_bytes(pixels: np.ndarray) -> np.ndarray:
    low, high = float(pixels.min()), float(pixels.max())

    # NaN fails both comparisons
    if not (low >= 0 and high <= 1):
        hint = "; divide by 255" if low >= 0 and 1 < high <= 255 else ""
        raise ValueError(f"floating pixels from {low:.4g} to {high:.4g}, not in 0..1{hint}")
    return np.rint(pixels.astype(np.float32) * 255).astype(np.uint8)
