"""Photos made of faces and backgrounds, for the benchmarks of detectors.

Faces of 20 to 400 px, upright or rotated by up to 30 degrees, in the color of skin, with a hard or
a soft edge, some cut by the border of the photo, on photos, textures, gradients, noise and drawn
rooms. Photos without people are such backgrounds, pages of text, and damaged ones of both.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from sklearn.datasets import load_sample_images

from ke2nt.datasets.catalog import get_reader
from ke2nt.drawn.dataset import DrawnFaces

__all__ = [
    "BACKGROUNDS",
    "EMPTY",
    "Face",
    "Photo",
    "compose",
    "empty_photos",
    "load_faces",
    "without_people",
]

SHAPES = ((480, 640), (640, 480), (600, 800), (960, 1280), (1280, 960), (1080, 1920))
SMALLEST, LARGEST = 20, 400  # pixels of a face
SKIN = np.array([(1.0, 0.82, 0.7), (1.0, 0.78, 0.6), (0.85, 0.62, 0.45), (1.0, 1.0, 1.0)])


@dataclass(frozen=True)
class Face:
    """A face that was pasted.

    Attributes:
        box: (x0, y0, x1, y1) in pixels of the photo, before the photo's border cuts it.
        label: Class index.
        cut: Share of its area beyond the border.
    """

    box: tuple[float, float, float, float]
    label: int
    cut: float


@dataclass(frozen=True)
class Photo:
    """uint8 (H, W, 3) pixels and the faces in them."""

    pixels: np.ndarray
    faces: tuple[Face, ...]


def load_faces(root: str | None, split: str, count: int) -> list[tuple[np.ndarray, int]]:
    """Load gray or colored faces with their labels: of FER+, or drawn ones without a root."""
    if root is None:
        drawn = DrawnFaces(count=count, size=128, seed=zlib.crc32(split.encode()))
        samples = [drawn.render_sample(index) for index in range(count)]
        return [(sample.image, sample.label) for sample in samples]

    reader = get_reader("ferplus", root, rule="majority")
    samples = reader.load(split).spread(count).samples
    return [(np.asarray(Image.open(each.source).convert("RGB")), each.label) for each in samples]


def compose(
    faces: Sequence[tuple[np.ndarray, int]],
    count: int,
    seed: int,
    sizes: tuple[float, float] = (SMALLEST, LARGEST),
) -> list[Photo]:
    """Paste one to six faces on each background; all faces are used before any is used again."""
    rng = np.random.default_rng(seed)
    order: list[int] = []
    photos = []
    for _ in range(count):
        num_faces = int(rng.integers(1, 7))
        if len(order) < num_faces:
            order += rng.permutation(len(faces)).tolist()

        chosen = [faces[order.pop()] for _ in range(num_faces)]
        photos.append(_compose_one(chosen, rng, sizes))
    return photos


def without_people(count: int, seed: int) -> list[Photo]:
    """Make photos without people, of each kind of background in turn."""
    rng = np.random.default_rng(seed)
    kinds = list(BACKGROUNDS.values())
    return [Photo(_draw_background(rng, kinds[i % len(kinds)]), ()) for i in range(count)]


def empty_photos(count: int, seed: int) -> dict[str, list[Photo]]:
    """Make photos without people, as many of each kind in `EMPTY`."""
    rng = np.random.default_rng(seed)
    return {
        kind: [Photo(_draw_background(rng, draw), ()) for _ in range(count)]
        for kind, draw in EMPTY.items()
    }


def _compose_one(
    chosen: Sequence[tuple[np.ndarray, int]],
    rng: np.random.Generator,
    sizes: tuple[float, float],
) -> Photo:
    kinds = list(BACKGROUNDS.values())
    pixels = _draw_background(rng, kinds[rng.integers(len(kinds))]).copy()
    placed: list[Face] = []
    for image, label in chosen:
        face = _find_space(pixels, placed, label, rng, sizes)
        if face is not None:
            _paste(pixels, image, face, rng)
            placed.append(face)
    return Photo(pixels, tuple(placed))


def _find_space(
    pixels: np.ndarray,
    placed: Sequence[Face],
    label: int,
    rng: np.random.Generator,
    sizes: tuple[float, float],
) -> Face | None:
    """Choose a size and a position that covers no other face; one face in eight is cut."""
    height, width = pixels.shape[:2]
    for _ in range(30):
        side = float(np.exp(rng.uniform(*np.log(sizes))))
        beyond = side * rng.uniform(0.1, 0.3) if rng.random() < 1 / 8 else 0.0
        x = (
            rng.uniform(0, width - side)
            if not beyond
            else rng.choice([-beyond, width - side + beyond])
        )
        y = rng.uniform(0, height - side)

        # a margin of a third of the side around each face
        box = (x, y, x + side, y + side)
        gap = side / 3
        if all(
            box[0] - gap > o.box[2]
            or o.box[0] > box[2] + gap
            or box[1] - gap > o.box[3]
            or o.box[1] > box[3] + gap
            for o in placed
        ):
            return Face(box, label, beyond / side)
    return None


def _paste(pixels: np.ndarray, image: np.ndarray, face: Face, rng: np.random.Generator) -> None:
    """Draw a face over a photo, rotated, tinted, with a hard or a soft edge."""
    left, top, right, bottom = (round(value) for value in face.box)
    side = max(1, right - left)
    angle = float(rng.uniform(-30, 30)) if rng.random() < 0.5 else 0.0

    # alpha: the whole square, or an ellipse that fades out
    alpha = np.ones(image.shape[:2], np.float32)
    if rng.random() < 0.5:
        y, x = np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
        alpha = np.clip((1.15 - np.hypot(x, y)) / 0.25, 0, 1).astype(np.float32)
    light = rng.uniform(0.6, 1.1)
    tinted = np.clip(image * SKIN[rng.integers(len(SKIN))] * light, 0, 255).astype(np.uint8)
    stacked = np.dstack([tinted, (255 * alpha).astype(np.uint8)])
    resized = Image.fromarray(stacked, "RGBA").resize((side, side), Image.Resampling.BICUBIC)
    turned = resized.rotate(angle, Image.Resampling.BICUBIC, expand=True)

    # the center stays where it is; Pillow cuts what lies beyond the border
    canvas = Image.fromarray(pixels)
    x = round((left + right - turned.width) / 2)
    y = round((top + bottom - turned.height) / 2)
    canvas.paste(turned.convert("RGB"), (x, y), turned.getchannel("A"))
    pixels[:] = np.asarray(canvas)


def _draw_background(
    rng: np.random.Generator, draw: Callable[[np.random.Generator, int, int], np.ndarray]
) -> np.ndarray:
    height, width = SHAPES[rng.integers(len(SHAPES))]
    return np.clip(draw(rng, height, width), 0, 255).astype(np.uint8)


def _photo(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A part of a real photo without people: a temple or a flower, mirrored at random."""
    images = load_sample_images().images
    image = images[rng.integers(len(images))][:, :: rng.choice([-1, 1])]
    rows, columns = image.shape[:2]
    part = rng.uniform(0.4, 1)
    size = (int(rows * part), int(columns * part))
    top, left = rng.integers(rows - size[0] + 1), rng.integers(columns - size[1] + 1)
    cut = Image.fromarray(np.ascontiguousarray(image[top : top + size[0], left : left + size[1]]))
    return np.asarray(cut.resize((width, height), Image.Resampling.BICUBIC)) * rng.uniform(0.6, 1.1)


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Smoothed noise in two colors, as of cloth, foliage or stone."""
    noise = rng.standard_normal((height // 2, width // 2))
    blurred = ndimage.gaussian_filter(noise, rng.uniform(0.7, 12, 2))
    share = ndimage.zoom((blurred - blurred.min()) / np.ptp(blurred), 2, order=1)
    first, second = rng.uniform(0, 255, (2, 3))
    return first + share[..., None] * (second - first)


def _stripes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Two gratings over one another."""
    y, x = np.mgrid[:height, :width]
    (a, b), (c, d) = rng.uniform(-0.3, 0.3, (2, 2))
    waves = np.sin(a * x + b * y) + np.sin(c * x + d * y)
    return 128 + waves[..., None] * rng.uniform(20, 60, 3)


def _gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    corners = rng.uniform(0, 255, (3, 3))
    return (
        corners[0]
        + x[..., None] * (corners[1] - corners[0])
        + y[..., None] * (corners[2] - corners[0])
    )


def _noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return rng.normal(rng.uniform(40, 200), rng.uniform(5, 70), (height, width, 3))


def _room(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Walls, furniture, pictures, plates: rectangles and ellipses, some in one another."""
    image = Image.new("RGB", (width, height), _color(rng))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, int(height * rng.uniform(0.6, 0.9)), width, height), fill=_color(rng))
    for _ in range(int(rng.integers(8, 30))):
        w, h = (int(np.exp(rng.uniform(np.log(15), np.log(300)))) for _ in range(2))
        x, y = int(rng.integers(-w // 2, width)), int(rng.integers(-h // 2, height))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x, y, x + w, y + h), fill=_color(rng), outline=_color(rng))

        # smaller things on it, such as the hands of a clock, the holes of a socket or buttons
        for _ in range(int(rng.integers(0, 4))):
            u, v = x + int(rng.uniform(0.1, 0.8) * w), y + int(rng.uniform(0.1, 0.8) * h)
            draw.ellipse((u, v, u + max(2, w // 6), v + max(2, h // 6)), fill=_color(rng))
    return np.asarray(image) + rng.normal(0, 4, (height, width, 1))


def _page(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Lines of random words and a few frames, as of a letter, a form or a poster."""
    paper, ink = rng.integers(200, 256), rng.integers(0, 110)
    image = Image.new("RGB", (width, height), (int(paper),) * 3)
    draw = ImageDraw.Draw(image)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"))
    y = int(rng.integers(0, 40))
    while y < height:
        size = int(rng.choice([10, 12, 16, 24, 48, 90], p=[0.25, 0.3, 0.25, 0.1, 0.06, 0.04]))
        font = ImageFont.load_default(size)
        words = ["".join(rng.choice(letters, rng.integers(1, 11))) for _ in range(width // size)]
        draw.text((int(rng.integers(0, 60)), y), " ".join(words), (int(ink),) * 3, font)
        y += int(size * rng.uniform(1.2, 2.4))
    for _ in range(int(rng.integers(0, 4))):
        x, top = int(rng.integers(0, width - 60)), int(rng.integers(0, height - 60))
        draw.rectangle((x, top, x + int(rng.integers(20, 200)), top + 50), outline=_color(rng))
    return np.asarray(image) + rng.normal(0, 3, (height, width, 1))


def _blurred(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Another photo without people, out of focus or moved."""
    pixels = _any(rng, height, width)
    along = rng.uniform(0, 20, 2) if rng.random() < 0.5 else np.full(2, rng.uniform(2, 12))
    return ndimage.gaussian_filter(pixels, (*along, 0))


def _damaged(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Another photo without people, as a damaged file shows it: rows moved, blocks, few colors."""
    pixels = np.clip(_any(rng, height, width), 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 8))):
            row = int(rng.integers(height))
            pixels[row:] = np.roll(pixels[row:], int(rng.integers(8, width)), axis=1)
    if rng.random() < 0.5:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=int(rng.integers(1, 8)))
        pixels = np.asarray(Image.open(file))
    if rng.random() < 0.5:
        pixels = pixels >> 6 << 6
    return pixels


def _any(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    kinds = [*BACKGROUNDS.values(), _page]
    return kinds[rng.integers(len(kinds))](rng, height, width)


def _color(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(value) for value in rng.integers(0, 256, 3))


BACKGROUNDS = {
    "photo": _photo,
    "texture": _texture,
    "stripes": _stripes,
    "gradient": _gradient,
    "noise": _noise,
    "room": _room,
}
EMPTY = {**BACKGROUNDS, "page of text": _page, "blurred": _blurred, "damaged": _damaged}
