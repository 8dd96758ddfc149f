"""Grids of synthetic faces: edits of real faces, new identities, interpolations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.data.tensors import FaceTensors
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.pixels import from_pixels, resize, to_uint8
from ke2nt.plots.face_grid import plot_face_grid
from ke2nt.runtime.atomic import write_bytes

__all__ = ["generate_all_expressions", "select_faces", "write_sample_grids"]

_STEPS = 7


def select_faces(images: FaceTensors, count: int, generator: FaceGenerator) -> Tensor:
    """Select evenly spaced faces of a split, the same ones each time, as a generator's images."""
    usable = images.usable
    positions = torch.linspace(0, len(usable) - 1, min(count, len(usable))).long()
    batches = images.batches(count, order=usable[positions])
    pixels = torch.cat([batch.pixels for batch in batches])
    return from_pixels(resize(pixels.float(), generator.image_size), generator.channels)


def generate_all_expressions(generator: FaceGenerator, codes: Tensor) -> Tensor:
    """Map (R, code_dim) codes to (R, K, C, S, S): every identity with every expression."""
    rows, classes = len(codes), len(generator.classes)
    expressions = torch.arange(classes, device=codes.device).repeat(rows)
    # each code K times, with expressions 0 to K − 1
    faces = generator.decode(codes.repeat_interleave(classes, dim=0), expressions)
    return faces.view(rows, classes, *faces.shape[1:])


@torch.no_grad()
def write_sample_grids(
    folder: Path, generator: FaceGenerator, real: Tensor, random: torch.Generator
) -> None:
    """Write `edits.png`, `new.png`, `identity.png` and `intensity.png`.

    Args:
        folder: Where to write.
        generator: In evaluation mode.
        real: (R, C, S, S) faces in [−1, 1], one per row.
        random: CPU generator of the new identities.
    """
    names = generator.classes
    codes, new_codes = generator.encode(real), generator.sample_codes(len(real), random)

    # real faces and new identities with every expression
    edits = torch.cat([real[:, None], generate_all_expressions(generator, codes)], dim=1)
    _write_grid(folder / "edits.png", edits, ["source", *names], "Real faces and their edits")
    new = generate_all_expressions(generator, new_codes)
    _write_grid(folder / "new.png", new, names, "New identities")

    # interpolations of latent codes and of expressions
    steps = [f"{share:.0%}" for share in _interpolation_shares().tolist()]
    identities = _interpolate_identities(generator, new_codes, new_codes.roll(1, dims=0))
    _write_grid(folder / "identity.png", identities, steps, "From one new identity to another")

    # intensity grids start at neutral where the classes have it
    start = names.index("neutral") if "neutral" in names else 0
    others = [i for i in range(len(names)) if i != start]
    _write_grid(
        folder / "intensity.png",
        _interpolate_expressions(generator, codes[:1], start, others),
        steps,
        f"From {names[start]} to an expression",
        rows=[names[i] for i in others],
    )


def _interpolation_shares() -> Tensor:
    return torch.linspace(0.0, 1.0, _STEPS)


def _interpolate_identities(generator: FaceGenerator, start: Tensor, end: Tensor) -> Tensor:
    """Interpolate (R, code_dim) codes: (R, steps, C, S, S), one expression per row."""
    shares = _interpolation_shares().to(start)[None, :, None]
    codes = torch.lerp(start[:, None], end[:, None], shares).flatten(0, 1)

    expressions = torch.arange(len(start), device=start.device) % len(generator.classes)
    faces = generator.decode(codes, expressions.repeat_interleave(_STEPS))
    return faces.view(len(start), _STEPS, *faces.shape[1:])


def _interpolate_expressions(
    generator: FaceGenerator, code: Tensor, start: int, others: list[int]
) -> Tensor:
    """Interpolate from one expression to each other one: (K − 1, steps, C, S, S)."""
    shares = _interpolation_shares().to(code)[:, None]
    indices = torch.tensor([start, *others], device=code.device)
    one_hot = functional.one_hot(indices, len(generator.classes)).float()

    # (steps, K) mixtures for each of the other expressions
    mixtures = [torch.lerp(one_hot[:1], goal[None], shares) for goal in one_hot[1:]]
    expressions = torch.cat(mixtures)
    faces = generator.decode(code.expand(len(expressions), -1), expressions)
    return faces.view(len(others), _STEPS, *faces.shape[1:])


def _write_grid(
    path: Path,
    faces: Tensor,
    columns: Sequence[str],
    title: str,
    *,
    rows: Sequence[str] = (),
) -> None:
    """Write (R, C, …) faces as one image."""
    # uint8 (R, C, S, S, 3)
    pixels = to_uint8(faces.flatten(0, 1)).numpy()
    grid: np.ndarray = pixels.reshape(*faces.shape[:2], *pixels.shape[1:])
    write_bytes(path, plot_face_grid(grid, columns, rows, title=title))
