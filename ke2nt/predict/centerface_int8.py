"""CenterFace in 8-bit integers, made once from its weights and kept in the cache."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ke2nt.drawn.dataset import DrawnFaces
from ke2nt.export.ort import quantize
from ke2nt.predict.pil_images import resize
from ke2nt.runtime.atomic import write_bytes
from ke2nt.runtime.cache_folder import cache_folder, make_cache_folder

__all__ = ["int8_file", "quantize_centerface"]

_FORMAT = 1  # increased whenever the same weights give another file
_OPERATIONS = ("Conv", "Relu", "Add")
_SCENES = 12
_SIZES = ((640, 480), (320, 256))  # at which faces are searched, multiples of 32
_FACE_SIDES = (32, 56, 96, 180)  # pixels at the larger of them


def int8_file(digest: str) -> Path:
    """Return where the quantized network of weights with this digest is, or will be."""
    return cache_folder() / "onnx" / f"centerface-int8-{digest[:32]}-{_FORMAT}.onnx"


def quantize_centerface(graph: bytes, operations: dict[str, str], name: str, path: Path) -> None:
    """Write the quantized network, which takes ten seconds.

    Activations are scaled by their ranges on drawn faces before drawn backgrounds.

    Args:
        graph: The network as an ONNX file.
        operations: Name of each of its nodes → operation.
        name: Of its input, float32 (1, 3, H, W).
        path: `int8_file` of the weights.

    Raises:
        CacheError: The cache cannot be written.
    """
    make_cache_folder("onnx")
    print(f"quantizing the face detector, once: {path}", file=sys.stderr)
    nodes = [node for node, operation in operations.items() if operation in _OPERATIONS]
    write_bytes(path, quantize(graph, _draw_scenes(), nodes, name=name))


def _draw_scenes() -> Iterator[np.ndarray]:
    """Yield scenes with faces as the network takes them: float32 (1, 3, H, W) in [0, 255]."""
    rng = np.random.default_rng(0)
    faces = DrawnFaces(count=_SCENES * len(_FACE_SIDES), seed=0, size=128)
    width, height = _SIZES[0]
    for index in range(_SCENES):
        # soft colors, coarser or finer, under a little noise
        grid = rng.integers(0, 256, (3 * 2 ** (index % 4), 4 * 2 ** (index % 4), 3), np.uint8)
        scene = resize(grid, width, height) + rng.normal(0, 6, (height, width, 3))
        scene = scene.clip(0, 255).astype(np.uint8)

        # side by side, so that none covers another
        for number, side in enumerate(_FACE_SIDES):
            face = faces.render_sample(len(_FACE_SIDES) * index + number).image
            left = number * width // 4 + int(rng.integers(0, width // 4 - min(side, 150)))
            top = int(rng.integers(0, height - side))
            part = scene[top : top + side, left : left + side]
            part[:] = resize(face, side, side)[:, : part.shape[1]]

        for size in _SIZES:
            pixels = resize(scene, *size).transpose(2, 0, 1)[None]
            yield np.ascontiguousarray(pixels, dtype=np.float32)
