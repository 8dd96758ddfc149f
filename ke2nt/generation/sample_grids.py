"""The pictures of a synthesis: edits of real faces, new identities, interpolations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.data.tensors import FaceTensors
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.pixels import from_pixels, resized, to_uint8
from ke2nt.plots.face_grid import plot_face_grid
from ke2nt.runtime.atomic import write_bytes

__all__ = ["expression_grid", "some_faces", "write_pictures"]

_STEPS = 7


def some_faces(images: FaceTensors, count: int, size: int, channels: int) -> Tensor:
    """Faces at even distances over a split, the same ones each time: (N, channels, size, size)."""
    usable = images.usable
    order = usable[torch.linspace(0, len(usable) - 1, min(count, len(usable))).long()]
    pixels = torch.cat([batch.pixels for batch in images.batches(count, order=order)])
    return from_pixels(resized(pixels.float(), size), channels)


def expression_grid(generator: FaceGenerator, codes: Tensor) -> Tensor:
    """(R, code_dim) codes → (R, K, C, S, S): every identity with every expression."""
    rows, classes = len(codes), len(generator.classes)
    wanted = torch.arange(classes, device=codes.device).repeat(rows)
    faces = generator.decode(codes.repeat_interleave(classes, dim=0), wanted)
    return faces.view(rows, classes, *faces.shape[1:])


@torch.no_grad()
def write_pictures(
    folder: Path, generator: FaceGenerator, real: Tensor, draws: torch.Generator
) -> None:
    """Write `edits.png`, `new.png`, `identity.png` and `intensity.png`.

    Args:
        folder: Where to write.
        generator: In evaluation mode.
        real: (R, C, S, S) faces in [−1, 1], a row each.
        draws: CPU generator of the new identities.
    """
    rows = len(real)
    names = generator.classes
    encoded, new = generator.encode(real), generator.new_codes(rows, draws)
    edits = torch.cat([real[:, None], expression_grid(generator, encoded)], dim=1)
    _write(folder / "edits.png", edits, ["source", *names], "Real faces and their edits")
    _write(folder / "new.png", expression_grid(generator, new), names, "New identities")
    _write(
        folder / "identity.png",
        _between_identities(generator, new, new.roll(1, dims=0)),
        [f"{share:.0%}" for share in _shares().tolist()],
        "From one new identity to another",
    )
    start = names.index("neutral") if "neutral" in names else 0
    others = [i for i in range(len(names)) if i != start]
    _write(
        folder / "intensity.png",
        _intensities(generator, encoded[:1], start, others),
        [f"{share:.0%}" for share in _shares().tolist()],
        f"From {names[start]} to an expression",
        rows=[names[i] for i in others],
    )


def _shares() -> Tensor:
    return torch.linspace(0.0, 1.0, _STEPS)


def _between_identities(generator: FaceGenerator, start: Tensor, end: Tensor) -> Tensor:
    """(R, steps, C, S, S), each row with an expression of its own."""
    shares = _shares().to(start)[None, :, None]
    codes = torch.lerp(start[:, None], end[:, None], shares).flatten(0, 1)
    wanted = torch.arange(len(start), device=start.device) % len(generator.classes)
    faces = generator.decode(codes, wanted.repeat_interleave(_STEPS))
    return faces.view(len(start), _STEPS, *faces.shape[1:])


def _intensities(generator: FaceGenerator, code: Tensor, start: int, others: list[int]) -> Tensor:
    """(K − 1, steps, C, S, S): one identity, from one expression to each of the others."""
    names = len(generator.classes)
    shares = _shares().to(code)[:, None]
    one_hot = functional.one_hot(torch.tensor([start, *others], device=code.device), names).float()
    wanted = torch.cat([torch.lerp(one_hot[:1], goal[None], shares) for goal in one_hot[1:]])
    faces = generator.decode(code.expand(len(wanted), -1), wanted)
    return faces.view(len(others), _STEPS, *faces.shape[1:])


def _write(
    path: Path,
    faces: Tensor,
    columns: Sequence[str],
    title: str,
    *,
    rows: Sequence[str] = (),
) -> None:
    pixels = to_uint8(faces.flatten(0, 1)).numpy()
    grid: np.ndarray = pixels.reshape(*faces.shape[:2], *pixels.shape[1:])
    write_bytes(path, plot_face_grid(grid, columns, rows, title=title))
