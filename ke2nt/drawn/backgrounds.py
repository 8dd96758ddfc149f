"""Squares without a face, drawn by a program: cloth, waves, light, noise, furniture."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["BACKGROUNDS", "draw_background"]

_Draw = Callable[[np.random.Generator, int], np.ndarray]


def draw_background(rng: np.random.Generator, side: int) -> np.ndarray:
    """Draw a square of a random kind, in color, gray or dark.

    Args:
        rng: Source of all random values.
        side: Side in pixels.

    Returns:
        uint8 (side, side, 3).
    """
    names = list(BACKGROUNDS)
    image = BACKGROUNDS[names[rng.integers(len(names))]](rng, side).astype(np.float64)

    # many real backgrounds are dark, and without much contrast
    if rng.random() < 0.3:
        image = image.mean() * rng.uniform(0.2, 0.9) + (image - image.mean()) * rng.uniform(0.1, 1)
    image += rng.normal(0, rng.uniform(0, 8), (side, side, 1))
    return np.clip(image, 0, 255).astype(np.uint8)


def _cloth(rng: np.random.Generator, side: int) -> np.ndarray:
    """Noise of two scales between two colors, as of cloth, hair, leaves or stone."""
    coarse, fine = (_smooth_noise(rng, side, int(rng.integers(2, 24))) for _ in range(2))
    share = coarse + rng.uniform(0, 1) * fine
    share = (share - share.min()) / max(float(np.ptp(share)), 1e-6)
    first, second = rng.uniform(0, 255, (2, 3))
    return first + share[..., None] * (second - first)


def _smooth_noise(rng: np.random.Generator, side: int, cells: int) -> np.ndarray:
    """(side, side) random values on a grid of cells, which may be longer than wide, enlarged."""
    rows = max(2, round(cells * rng.uniform(0.3, 1)))
    shape = (rows, cells) if rng.random() < 0.5 else (cells, rows)
    values = Image.fromarray(rng.random(shape).astype(np.float32))
    return np.asarray(values.resize((side, side), Image.Resampling.BICUBIC))


def _waves(rng: np.random.Generator, side: int) -> np.ndarray:
    """Two gratings over one another, as of blinds, bricks or fences."""
    y, x = np.mgrid[:side, :side] / side
    (a, b), (c, d) = rng.uniform(-40, 40, (2, 2))
    waves = np.sin(a * x + b * y) + rng.uniform(0, 1) * np.sign(np.sin(c * x + d * y))
    return rng.uniform(60, 190) + waves[..., None] * rng.uniform(10, 60, 3)


def _light(rng: np.random.Generator, side: int) -> np.ndarray:
    """A plain wall or sky, brighter on one side."""
    y, x = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j]
    corner, right, down = rng.uniform(0, 255, (3, 3))
    return corner + x[..., None] * (right - corner) / 2 + y[..., None] * (down - corner) / 2


def _noise(rng: np.random.Generator, side: int) -> np.ndarray:
    channels = 1 if rng.random() < 0.5 else 3
    return rng.normal(rng.uniform(30, 220), rng.uniform(5, 80), (side, side, channels)) + np.zeros(
        3
    )


def _furniture(rng: np.random.Generator, side: int) -> np.ndarray:
    """Rectangles and ellipses, some with smaller ones in them, such as sockets and buttons."""
    big = 2 * side
    image = Image.new("RGB", (big, big), _color(rng))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 9))):
        width, height = (int(big * rng.uniform(0.1, 0.9)) for _ in range(2))
        x, y = (int(rng.integers(-big // 3, big)) for _ in range(2))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x, y, x + width, y + height), fill=_color(rng), outline=_color(rng))

        # two or three spots at any place: eyes are more than that
        spot = max(2, min(width, height) // int(rng.integers(4, 9)))
        for _ in range(int(rng.integers(0, 4))):
            u, v = x + rng.uniform(0.1, 0.8) * width, y + rng.uniform(0.1, 0.8) * height
            draw.ellipse((u, v, u + spot, v + spot), fill=_color(rng))

    # lines, as of cables and shelves
    for _ in range(int(rng.integers(0, 4))):
        ends = rng.integers(0, big, 4).tolist()
        draw.line(ends, fill=_color(rng), width=int(rng.integers(1, big // 10 + 2)))
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


def _color(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(value) for value in rng.integers(0, 256, 3))


BACKGROUNDS: Mapping[str, _Draw] = {
    "cloth": _cloth,
    "waves": _waves,
    "light": _light,
    "noise": _noise,
    "furniture": _furniture,
}
"""Kind → function of a generator and a side, float or uint8 (side, side, 3) in 0..255."""
