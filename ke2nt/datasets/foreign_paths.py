"""Absolute paths of another computer, made relative to the folder that holds the images here."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import PurePosixPath

from ke2nt.datasets.finding import Finding, make_finding
from ke2nt.errors import DataError

__all__ = ["foreign_paths_note", "is_absolute", "localize_paths"]

_MAX_TRIES = 200


def is_absolute(path: str) -> bool:
    """Whether a path begins at a root or drive of any system."""
    return re.match(r"[A-Za-z]:|/|~", path) is not None


def localize_paths(
    paths: Sequence[str], exists: Callable[[PurePosixPath], bool], *, where: object
) -> list[str]:
    """Replace the beginning that absolute paths share, if none of them exists here.

    One beginning is removed from all of them, so that two files never become one.

    Args:
        paths: Paths with forward slashes.
        exists: Whether a relative path is a file here.
        where: The list, for messages.

    Raises:
        DataError: No beginning can be removed so that files are found.
    """
    foreign = [path for path in paths if is_absolute(path)]
    if not foreign or any(os.path.exists(path) for path in foreign):
        return list(paths)

    # folders that all of them share, without the drive and with it
    parts = [PurePosixPath(path).parts for path in foreign]
    levels = zip(*(p[:-1] for p in parts), strict=False)
    common = [level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels)]
    spread = parts[:: max(1, len(parts) // _MAX_TRIES)]
    for count in range(1, len(common) + 1):
        found = sum(exists(PurePosixPath(*p[count:])) for p in spread)
        if 2 * found > len(spread):
            return [
                str(PurePosixPath(*PurePosixPath(path).parts[count:]))
                if is_absolute(path)
                else path
                for path in paths
            ]

    raise DataError(
        f"{len(foreign)} image paths begin at a folder of another computer",
        where=where,
        expected="paths relative to the folder of the list",
        found=foreign[0],
        hint=f"Remove the beginning, such as {PurePosixPath(*common) if common else foreign[0]!s}, "
        "in the list, or put the list beside the images.",
    )


def foreign_paths_note(paths: Sequence[str]) -> Finding:
    """Say which paths were localized."""
    message = f"{len(paths)} paths of another computer are read from here"
    hint = "The folders that all of them begin with are left out."
    return make_finding("note", "foreign_paths", message, list(paths), hint)
