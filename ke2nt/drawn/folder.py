"""Drawn faces as a folder of PNG files with a manifest, for tools that read files."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ke2nt.drawn.dataset import SPLITS, DrawnFaces
from ke2nt.drawn.render import REGIONS
from ke2nt.runtime.atomic import atomic_folder, check_new_folder, write_json, write_text

__all__ = ["write_folder"]


def write_folder(
    out: Path,
    *,
    count: int,
    seed: int = 0,
    size: int = 112,
    styles: Sequence[str] = ("photo",),
    masks: bool = False,
    workers: int = 1,
    quiet: bool = False,
) -> dict[str, Any]:
    """Draw a dataset into a new folder, which appears whole or not at all.

    The folder holds `<split>/<class>/<name>.png`, `manifest.csv` (path, label, split, subject and
    one `attr:` column per attribute), `synthetic.json` with the summary and, on request,
    `masks/<split>/<class>/<name>.npz` with a boolean (4, S, S) array named "masks".

    Args:
        out: A folder that does not exist or is empty.
        count, seed, size, styles: As for `DrawnFaces`.
        masks: Also write region masks.
        workers: Processes that draw; the files do not depend on it.
        quiet: No progress on stderr.

    Returns:
        The summary: a plain JSON value with the counts per split and class.

    Raises:
        DataError: The folder is in use, or a value is out of range.
    """
    out = Path(out)
    check_new_folder(out)
    faces = DrawnFaces(count, seed=seed, size=size, styles=tuple(styles))
    split_of = {i: split for split in SPLITS for i in faces.indices(split)}
    order = sorted(split_of, key=lambda i: (list(SPLITS).index(split_of[i]), i))
    counts = {split: Counter[str]() for split in SPLITS}
    people: dict[str, set[str]] = {split: set() for split in SPLITS}
    rows: list[dict[str, str]] = []
    with atomic_folder(out) as folder:
        for face in faces.render(order, masks=masks, workers=workers, quiet=quiet):
            split = split_of[face.index]
            place = f"{split}/{face.expression}/{face.name}"
            picture = folder / f"{place}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(face.image).save(picture)
            if face.masks is not None:
                regions = folder / "masks" / f"{place}.npz"
                regions.parent.mkdir(parents=True, exist_ok=True)
                np.savez_compressed(regions, masks=face.masks)
            counts[split][face.expression] += 1
            people[split].add(face.subject)
            facts = {f"attr:{name}": value for name, value in face.attributes.items()}
            row = {"path": f"{place}.png", "label": face.expression, "split": split}
            rows.append({**row, "subject": face.subject, **facts})
        summary = {
            "count": count,
            "seed": seed,
            "size": size,
            "styles": list(faces.styles),
            "classes": list(faces.classes),
            "regions": list(REGIONS) if masks else [],
            "splits": {
                split: {
                    "faces": counts[split].total(),
                    "identities": len(people[split]),
                    "classes": {name: counts[split][name] for name in faces.classes},
                }
                for split in SPLITS
            },
        }
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(folder / "manifest.csv", text.getvalue())
        write_json(folder / "synthetic.json", summary)
    return {"out": str(out), **summary}
