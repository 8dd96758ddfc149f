"""Edits of image files to every expression."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ke2nt.data.images import decode, encode_png
from ke2nt.errors import ImageReadError
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.pixels import from_pixels, to_uint8
from ke2nt.generation.sample_grids import generate_all_expressions
from ke2nt.plots.face_grid import plot_face_grid
from ke2nt.runtime.atomic import atomic_folder, check_new_folder, write_bytes

__all__ = ["write_edits"]

_BATCH = 64
_GRID_ROWS = 40


@torch.no_grad()
def write_edits(
    generator: FaceGenerator, images: Sequence[Path], out: Path
) -> tuple[list[str], dict[str, str]]:
    """Write `<number>-<name>/<expression>.png` for each image, and `grid.png` of the first 40.

    Args:
        generator: In evaluation mode.
        images: Images of one face each, cropped to it.
        out: A folder that does not exist or is empty.

    Returns:
        Names of the written folders, and file → reason of each image that cannot be read.

    Raises:
        DataError: The folder is in use.
    """
    check_new_folder(out)
    names, pixels, failed = _read_images(images, generator.image_size)
    if not names:
        return [], failed

    grid_rows: list[np.ndarray] = []
    with atomic_folder(out) as folder:
        for start in range(0, len(names), _BATCH):
            part = slice(start, start + _BATCH)
            rows = _edit_batch(generator, torch.stack(pixels[part]))

            # the first column of a row is the source
            for name, row in zip(names[part], rows, strict=True):
                for expression, face in zip(generator.classes, row[1:], strict=True):
                    write_bytes(folder / name / f"{expression}.png", encode_png(face))
            grid_rows.extend(rows[: max(0, _GRID_ROWS - len(grid_rows))])

        # an overview of the first images
        columns = ["source", *generator.classes]
        grid = plot_face_grid(np.stack(grid_rows), columns, title="Edits")
        write_bytes(folder / "grid.png", grid)
    return names, failed


def _read_images(
    images: Sequence[Path], size: int
) -> tuple[list[str], list[torch.Tensor], dict[str, str]]:
    """Return folder names and (3, size, size) pixels of readable images, and the failures."""
    names, pixels, failed = [], [], {}
    for number, path in enumerate(images):
        try:
            face = decode(path, size=size)
        except ImageReadError as error:
            # one unreadable file must not prevent the others
            failed[str(path)] = str(error)
            continue
        names.append(f"{number:03d}-{path.stem}")
        pixels.append(torch.from_numpy(face).permute(2, 0, 1))
    return names, pixels, failed


def _edit_batch(generator: FaceGenerator, pixels: torch.Tensor) -> np.ndarray:
    """Return each image and its edits, uint8 (B, 1 + K, S, S, 3)."""
    faces = from_pixels(pixels, generator.channels)
    edits = generate_all_expressions(generator, generator.encode(faces))

    # (B, 1 + K, C, S, S), the source first
    rows = torch.cat([faces[:, None], edits], dim=1)
    flat: np.ndarray = to_uint8(rows.flatten(0, 1)).numpy()
    return flat.reshape(*rows.shape[:2], *rows.shape[3:], 3)
