"""Folders that hold a part of FER+: a votes file with some of its rows, and links to the images."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from pathlib import Path

__all__ = ["write_training_part", "write_without"]

_VOTES = "fer2013new.csv"
_FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}


def write_without(root: Path, left_out: Collection[str], folder: Path) -> None:
    """Write FER+ without some files of its training usage.

    Args:
        root: Folder of FER+ in its official tree.
        left_out: Names of files, such as "fer0000000.png".
        folder: Folder to write.
    """
    header, *rows = _read(root)
    kept = [row for row in rows if row[0] != "Training" or row[1].strip() not in left_out]
    links = {name: root / name for name in _FOLDERS.values() if (root / name).is_dir()}
    _write(folder, [header, *kept], links)


def write_training_part(
    root: Path, train: Sequence[str], validation: Sequence[str], folder: Path
) -> None:
    """Write images of the training usage as a FER+ with a training and a validation usage.

    The official validation usage is not in it, so that nothing can be chosen there.

    Args:
        root: Folder of FER+ in its official tree.
        train: Names of samples of the new training usage.
        validation: Names of samples of the new validation usage.
        folder: Folder to write.
    """
    header, *rows = _read(root)
    votes = {row[1].strip(): row[1:] for row in rows if row[0] == "Training"}
    kept = [header]
    for usage, names in (("Training", train), ("PublicTest", validation)):
        kept += [[usage, *votes[Path(name.partition("#")[0]).name]] for name in names]

    images = root / _FOLDERS["Training"]
    _write(folder, kept, {_FOLDERS[usage]: images for usage in ("Training", "PublicTest")})


def _read(root: Path) -> list[list[str]]:
    with (root / _VOTES).open(newline="") as file:
        return list(csv.reader(file))


def _write(folder: Path, rows: list[list[str]], links: dict[str, Path]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _VOTES).open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    for name, images in links.items():
        if not (folder / name).exists():
            (folder / name).symlink_to(images.resolve())
