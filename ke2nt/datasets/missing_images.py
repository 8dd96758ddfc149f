"""Why the images that a list names are not found: a folder, suffix or beginning is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ke2nt.data.picture_formats import is_image_name
from ke2nt.datasets.base import list_entries, list_folders
from ke2nt.datasets.file_finder import FileFinder

__all__ = ["explain_missing"]

_MAX_TRIES = 50  # paths
_MAX_FOLDERS = 200


def explain_missing(root: Path, paths: Sequence[str]) -> str | None:
    """A sentence on how to write the paths so that they are found; None if that is unknown.

    Args:
        root: The folder that the paths are relative to.
        paths: Paths with forward slashes, none of which exists.
    """
    spread = [PurePosixPath(path) for path in paths[:: max(1, len(paths) // _MAX_TRIES)]]
    if not spread:
        return None

    # the same paths below another folder, with the suffix of the list and with another
    for folder in [root, *_folders_below(root)]:
        finder, where = FileFinder(folder), folder.relative_to(root).as_posix()
        prefix = "" if folder == root else f"{where}/"
        if prefix and _is_most(finder.find(path).is_file() for path in spread):
            return (
                f"The images lie in {where}: write {prefix}{spread[0]} in place of {spread[0]}, or "
                "put the list into that folder."
            )
        suffixes = _suffixes(finder, spread)
        if _is_most(suffix is not None for suffix in suffixes):
            found = next(suffix for suffix in suffixes if suffix is not None)
            right = f"{prefix}{spread[0].with_name(_stem(spread[0]) + found)}"
            return f"The files have other suffixes: write {right} in place of {spread[0]}."
    return None


def _suffixes(finder: FileFinder, paths: Sequence[PurePosixPath]) -> list[str | None]:
    """The suffix that each image has on disk, or None."""
    stems: dict[Path, dict[str, str]] = {}
    suffixes = []
    for path in paths:
        folder = finder.find(path.parent) if str(path.parent) != "." else finder.root
        if folder not in stems:
            images = [entry for entry in list_entries(folder) if is_image_name(entry)]
            stems[folder] = {entry.stem: entry.suffix for entry in images}
        suffixes.append(stems[folder].get(_stem(path)))
    return suffixes


def _stem(path: PurePosixPath) -> str:
    # a name without suffix may hold points
    return path.stem if is_image_name(path.name) else path.name


def _folders_below(root: Path) -> list[Path]:
    first = list_folders(root)[:_MAX_FOLDERS]
    return [*first, *(below for folder in first for below in list_folders(folder))][:_MAX_FOLDERS]


def _is_most(found: object) -> bool:
    answers = list(found)  # type: ignore[call-overload]
    return 2 * sum(answers) > len(answers)
