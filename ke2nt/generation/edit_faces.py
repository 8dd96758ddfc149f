"""Edits of pictures on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ke2nt.data.images import decode, encode_png
from ke2nt.errors import ImageReadError
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.pixels import from_pixels, to_uint8
from ke2nt.generation.sample_grids import expression_grid
from ke2nt.plots.face_grid import plot_face_grid
from ke2nt.runtime.atomic import atomic_folder, check_new_folder, write_bytes

__all__ = ["write_edits"]

_BATCH = 64
_SHOWN = 40


@torch.no_grad()
def write_edits(
    generator: FaceGenerator, images: Sequence[Path], out: Path
) -> tuple[list[str], dict[str, str]]:
    """Write `<number>-<name>/<expression>.png` for every picture, and `grid.png` of the first 40.

    Args:
        generator: In evaluation mode.
        images: Pictures of one face each, cropped to it.
        out: A folder that does not exist or is empty.

    Returns:
        Folders written, and file → reason of those pictures that cannot be read.

    Raises:
        DataError: The folder is in use.
    """
    check_new_folder(out)
    pixels, names, failed = [], [], {}
    for number, path in enumerate(images):
        try:
            face = decode(path, size=generator.image_size)
        except ImageReadError as error:
            failed[str(path)] = str(error)
            continue
        pixels.append(torch.from_numpy(face).permute(2, 0, 1))
        names.append(f"{number:03d}-{path.stem}")
    if not pixels:
        return [], failed
    shown: list[np.ndarray] = []
    with atomic_folder(out) as folder:
        for start in range(0, len(names), _BATCH):
            some = slice(start, start + _BATCH)
            rows = _rows(generator, torch.stack(pixels[some]))
            for name, row in zip(names[some], rows, strict=True):
                for expression, face in zip(generator.classes, row[1:], strict=True):
                    write_bytes(folder / name / f"{expression}.png", encode_png(face))
            shown.extend(rows[: max(0, _SHOWN - len(shown))])
        columns = ["source", *generator.classes]
        write_bytes(folder / "grid.png", plot_face_grid(np.stack(shown), columns, title="Edits"))
    return names, failed


def _rows(generator: FaceGenerator, pixels: torch.Tensor) -> np.ndarray:
    """Each picture and its edits, uint8 (B, 1 + K, S, S, 3)."""
    faces = from_pixels(pixels, generator.channels)
    edits = expression_grid(generator, generator.encode(faces))
    both = torch.cat([faces[:, None], edits], dim=1)
    flat: np.ndarray = to_uint8(both.flatten(0, 1)).numpy()
    return flat.reshape(*both.shape[:2], *both.shape[3:], 3)
