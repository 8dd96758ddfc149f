"""Whether a face is too dark, too small or too blurred to be recognized."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ke2nt.data.images import decode

__all__ = [
    "MIN_BRIGHTNESS",
    "MIN_SHARPNESS",
    "MIN_SIDE",
    "FaceQuality",
    "measure_quality",
]

# Chosen on FER+ faces and degraded copies of them: benchmarks/face_quality.py
MIN_SIDE = 20  # pixels
MIN_BRIGHTNESS = 0.28
MIN_SHARPNESS = 0.08

_SIDE = 48  # pixels at which brightness and sharpness are measured: the size of FER+ faces
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_BRIGHT_PERCENTILE = 95
_FLAT = 1e-3  # a standard deviation below it has no structure to be sharp or blurred

# A Gaussian with a standard deviation of one pixel, cut at two
_GAUSSIAN = np.exp(-(np.arange(-2, 3, dtype=np.float32) ** 2) / 2)
_GAUSSIAN /= _GAUSSIAN.sum()


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """How well a face can be seen.

    Attributes:
        side: Longer side of the face in pixels of the image.
        brightness: 95th percentile of the gray values, in [0, 1]: bright spots of a well-lit face
            are bright whatever the color of the skin.
        sharpness: Standard deviation of the details finer than a pixel of a 48 px face, relative
            to that of all gray values.
    """

    side: float
    brightness: float
    sharpness: float

    @property
    def problems(self) -> tuple[str, ...]:
        """Reasons why a prediction is not reliable: "dark", "small", "blurred"; or none."""
        checks = {
            "dark": self.brightness < MIN_BRIGHTNESS,
            "small": self.side < MIN_SIDE,
            "blurred": self.sharpness < MIN_SHARPNESS,
        }
        return tuple(name for name, failed in checks.items() if failed)


def measure_quality(face: np.ndarray, side: float) -> FaceQuality:
    """Measure the quality of a face.

    Args:
        face: uint8 (H, W, 3) RGB, cropped.
        side: Longer side of the face in pixels of the image.
    """
    # (48, 48) gray values in [0, 1]
    gray = decode(face, size=_SIDE) @ (_LUMA / 255)
    details = gray - _blur(_blur(gray).T).T
    return FaceQuality(
        side=side,
        brightness=float(np.percentile(gray, _BRIGHT_PERCENTILE)),
        sharpness=float(details.std() / max(float(gray.std()), _FLAT)),
    )


def _blur(gray: np.ndarray) -> np.ndarray:
    """Blur along the rows; the border is repeated outward."""
    padded = np.pad(gray, ((2, 2), (0, 0)), mode="edge")
    blurred: np.ndarray = sum(
        weight * padded[shift : shift + len(gray)] for shift, weight in enumerate(_GAUSSIAN)
    )
    return blurred
