"""A labeled image folder of new faces, drawn from a generator."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ke2nt.data.images import encode_png
from ke2nt.data.sample import FaceSample
from ke2nt.errors import DataError
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.pixels import to_uint8
from ke2nt.runtime.atomic import (
    atomic_folder,
    check_new_folder,
    write_bytes,
    write_json,
    write_text,
)
from ke2nt.runtime.seeding import torch_generator

__all__ = ["Accept", "draw_faces", "draw_samples", "write_faces"]

Accept = Callable[[Tensor, Tensor], Tensor]
"""(B, C, S, S) images and (B,) the expressions they were made for → bool (B,), which to keep."""

_BATCH = 64
_MOST_REFUSED = 50


def draw_faces(
    generator: FaceGenerator, count: int, seed: int, *, accept: Accept | None = None
) -> Iterator[tuple[np.ndarray, int]]:
    """New identities, every expression alike often, in turns.

    Args:
        generator: In evaluation mode.
        count: Faces.
        seed: Another seed gives other faces.
        accept: Which faces are kept; others are drawn in place of those that are not.

    Yields:
        uint8 (S, S, 3) pixels and the index of the expression.

    Raises:
        DataError: Of some expression, hardly any face is accepted.
    """
    classes = len(generator.classes)
    pools = [_faces_of(generator, k, seed, accept) for k in range(min(count, classes))]
    for index in range(count):
        yield next(pools[index % classes]), index % classes


def _faces_of(
    generator: FaceGenerator, expression: int, seed: int, accept: Accept | None
) -> Iterator[np.ndarray]:
    draws = torch_generator(seed, "sample", expression)
    refused = 0
    while True:
        codes = generator.new_codes(_BATCH, draws)
        wanted = torch.full((_BATCH,), expression, device=codes.device)
        with torch.no_grad():
            faces = generator.decode(codes, wanted)
            kept = faces if accept is None else faces[accept(faces, wanted)]
        refused = 0 if len(kept) else refused + 1
        if refused == _MOST_REFUSED:
            raise DataError(
                f"no face is accepted as {generator.classes[expression]}",
                found=f"{refused * _BATCH} drawn in a row",
                hint="Lower --min-confidence.",
            )
        yield from to_uint8(kept).numpy()


def draw_samples(
    generator: FaceGenerator, count: int, seed: int, classes: tuple[str, ...]
) -> list[FaceSample]:
    """New faces as samples of a dataset with these classes, "synthetic/anger/00003"."""
    names, labels = generator.classes, [classes.index(name) for name in generator.classes]
    return [
        FaceSample(f"synthetic/{names[k]}/{i:05d}", pixels, labels[k])
        for i, (pixels, k) in enumerate(draw_faces(generator, count, seed))
    ]


def write_faces(
    out: Path,
    generator: FaceGenerator,
    count: int,
    seed: int,
    *,
    accept: Accept | None = None,
    facts: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write new faces as a dataset: the same seed gives the same files.

    The folder holds `train/<expression>/<number>.png`, as the reader `folder` takes it, a
    `manifest.csv` for the reader `manifest`, and `samples.json`.

    Args:
        out: A folder that does not exist or is empty.
        generator: In evaluation mode.
        count, seed, accept: As of `draw_faces`.
        facts: Further plain JSON for `samples.json`.

    Returns:
        The summary, as in `samples.json`.

    Raises:
        DataError: The folder is in use, or hardly any face is accepted.
    """
    check_new_folder(out)
    counts = dict.fromkeys(generator.classes, 0)
    rows = []
    with atomic_folder(out) as folder:
        for index, (pixels, k) in enumerate(draw_faces(generator, count, seed, accept=accept)):
            name = generator.classes[k]
            place = f"train/{name}/{index:06d}.png"
            write_bytes(folder / place, encode_png(pixels))
            counts[name] += 1
            rows.append({"path": place, "label": name, "split": "train"})
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=["path", "label", "split"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(folder / "manifest.csv", text.getvalue())
        summary = {
            "count": count,
            "seed": seed,
            "classes": counts,
            "image_size": generator.image_size,
            "generator": generator.provenance,
            **(facts or {}),
        }
        write_json(folder / "samples.json", summary)
    return {"out": str(out), **summary}
