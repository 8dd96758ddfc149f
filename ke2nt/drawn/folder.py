"""Drawn faces as a folder of PNG files with a manifest, for tools that read files."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ke2nt.drawn.dataset import SPLITS, DrawnFaces
from ke2nt.drawn.drawn_face import DrawnFace
from ke2nt.drawn.regions import REGIONS
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
        count, seed, size, styles: See `DrawnFaces`.
        masks: Also write region masks.
        workers: Worker processes; the files do not depend on their number.
        quiet: No progress on stderr.

    Returns:
        The summary: a plain JSON value with the counts per split and class.

    Raises:
        DataError: The folder is in use, or a value is out of range.
    """
    out = Path(out)
    check_new_folder(out)

    faces = DrawnFaces(count, seed=seed, size=size, styles=tuple(styles))
    splits = {index: split for split in SPLITS for index in faces.indices(split)}
    contents = _Contents()

    # The manifest lists the splits one after the other
    order = sorted(splits, key=lambda index: (list(SPLITS).index(splits[index]), index))
    with atomic_folder(out) as folder:
        for face in faces.render(order, masks=masks, workers=workers, quiet=quiet):
            split = splits[face.index]
            _write_face(folder, split, face)
            contents.add(split, face)

        summary = {
            "count": count,
            "seed": seed,
            "size": size,
            "styles": list(faces.styles),
            "classes": list(faces.classes),
            "regions": list(REGIONS) if masks else [],
            "splits": contents.count_by_split(faces.classes),
        }
        write_text(folder / "manifest.csv", _to_csv(contents.rows))
        write_json(folder / "synthetic.json", summary)
    return {"out": str(out), **summary}


@dataclass
class _Contents:
    """Rows of the manifest, and counts."""

    rows: list[dict[str, str]] = field(default_factory=list)
    counts: dict[str, Counter[str]] = field(
        default_factory=lambda: {split: Counter() for split in SPLITS}
    )
    subjects: dict[str, set[str]] = field(
        default_factory=lambda: {split: set() for split in SPLITS}
    )

    def add(self, split: str, face: DrawnFace) -> None:
        self.counts[split][face.expression] += 1
        self.subjects[split].add(face.subject)
        self.rows.append(
            {
                "path": f"{_relative_stem(split, face)}.png",
                "label": face.expression,
                "split": split,
                "subject": face.subject,
                **{f"attr:{name}": value for name, value in face.attributes.items()},
            }
        )

    def count_by_split(self, classes: Sequence[str]) -> dict[str, Any]:
        return {
            split: {
                "faces": self.counts[split].total(),
                "identities": len(self.subjects[split]),
                "classes": {name: self.counts[split][name] for name in classes},
            }
            for split in SPLITS
        }


def _relative_stem(split: str, face: DrawnFace) -> str:
    return f"{split}/{face.expression}/{face.name}"


def _write_face(folder: Path, split: str, face: DrawnFace) -> None:
    stem = _relative_stem(split, face)
    image = folder / f"{stem}.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(face.image).save(image)

    if face.masks is not None:
        masks = folder / "masks" / f"{stem}.npz"
        masks.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(masks, masks=face.masks)


def _to_csv(rows: Sequence[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
