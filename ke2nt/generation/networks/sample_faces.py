"""Synthetic faces sampled from a generator, as arrays or as a labeled image folder."""

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
from ke2nt.runtime.progress import track
from ke2nt.runtime.seeding import torch_generator

__all__ = ["AcceptFaces", "generate_faces", "generate_samples", "write_synthetic_faces"]

AcceptFaces = Callable[[Tensor, Tensor], Tensor]
"""(B, C, S, S) images and (B,) their requested expressions → bool (B,), which to keep."""

_BATCH = 64
_MAX_REJECTED_BATCHES = 50


def generate_faces(
    generator: FaceGenerator, count: int, seed: int, *, accept: AcceptFaces | None = None
) -> Iterator[tuple[np.ndarray, int]]:
    """Generate faces of new identities; expressions alternate, so that all are equally frequent.

    Args:
        generator: In evaluation mode.
        count: Number of faces.
        seed: Each seed gives other faces.
        accept: Which faces to keep; rejected ones are replaced.

    Yields:
        uint8 (S, S, 3) pixels and the index of the expression.

    Raises:
        DataError: Hardly any face of an expression is accepted.
    """
    # each expression has its own stream, so that more faces begin with the same ones
    classes = len(generator.classes)
    streams = [_generate_expression(generator, k, seed, accept) for k in range(min(count, classes))]
    for index in range(count):
        yield next(streams[index % classes]), index % classes


def generate_samples(
    generator: FaceGenerator, count: int, seed: int, classes: tuple[str, ...]
) -> list[FaceSample]:
    """Generate faces as samples of a dataset with these classes, "synthetic/anger/00003"."""
    # the dataset may order its classes differently
    names = generator.classes
    labels = [classes.index(name) for name in names]
    return [
        FaceSample(f"synthetic/{names[k]}/{i:05d}", pixels, labels[k])
        for i, (pixels, k) in enumerate(generate_faces(generator, count, seed))
    ]


def write_synthetic_faces(
    out: Path,
    generator: FaceGenerator,
    count: int,
    seed: int,
    *,
    accept: AcceptFaces | None = None,
    facts: dict[str, Any] | None = None,
    quiet: bool = True,
) -> dict[str, Any]:
    """Write synthetic faces as a dataset; the same seed gives the same files.

    The folder holds `train/<expression>/<number>.png` for the reader `folder`, a `manifest.csv` for
    the reader `manifest`, and `samples.json`.

    Args:
        out: A folder that does not exist or is empty.
        generator: In evaluation mode.
        count, seed, accept: As for `generate_faces`.
        facts: Further plain JSON for `samples.json`.
        quiet: Show no progress.

    Returns:
        The content of `samples.json`, with the folder.

    Raises:
        DataError: The folder is in use, or hardly any face is accepted.
    """
    check_new_folder(out)
    counts = dict.fromkeys(generator.classes, 0)
    rows = []
    with atomic_folder(out) as folder:
        faces = generate_faces(generator, count, seed, accept=accept)
        tracked = track(faces, "generating faces", total=count, quiet=quiet)
        for index, (pixels, k) in enumerate(tracked):
            name = generator.classes[k]
            path = f"train/{name}/{index:06d}.png"
            write_bytes(folder / path, encode_png(pixels))
            counts[name] += 1
            rows.append({"path": path, "label": name, "split": "train"})

        # the manifest lists the files in the order of their numbers
        write_text(folder / "manifest.csv", _format_manifest(rows))
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


def _generate_expression(
    generator: FaceGenerator, expression: int, seed: int, accept: AcceptFaces | None
) -> Iterator[np.ndarray]:
    """Generate faces of one expression without end."""
    random = torch_generator(seed, "sample", expression)
    rejected_batches = 0
    while True:
        codes = generator.sample_codes(_BATCH, random)
        expressions = torch.full((_BATCH,), expression, device=codes.device)
        with torch.no_grad():
            faces = generator.decode(codes, expressions)
            accepted = faces if accept is None else faces[accept(faces, expressions)]

        # stop rather than sample forever
        rejected_batches = 0 if len(accepted) else rejected_batches + 1
        if rejected_batches == _MAX_REJECTED_BATCHES:
            raise DataError(
                f"no face is accepted as {generator.classes[expression]}",
                found=f"{rejected_batches * _BATCH} faces rejected in a row",
                hint="Lower --min-confidence.",
            )
        yield from to_uint8(accepted).numpy()


def _format_manifest(rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=["path", "label", "split"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
