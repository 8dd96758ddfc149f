"""What a person names on the command line: files, folders, patterns, cameras."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ke2nt.data.images import is_image_name
from ke2nt.predict.video import is_video_name

__all__ = ["expand_paths"]


def expand_paths(names: Iterable[str]) -> Iterator[tuple[str, int | str]]:
    """Every picture and video that is meant, one by one.

    A folder means the images and videos in it and below it, in the order of their names, without
    those that `AnnotationWriter` made; a number
    that is no file, a camera; a pattern such as "*.jpg", the files that match. A file that is named
    itself is tried whatever its suffix, and a name without any file stays as it is.

    Yields:
        ("image", path), ("video", path) or ("camera", index).
    """
    for name in names:
        if os.path.isdir(name):
            yield from _folder(name)
        elif name.isdecimal() and not os.path.exists(name):
            yield "camera", int(name)
        elif glob.has_magic(name) and not os.path.exists(name):
            matches = sorted(glob.glob(name, recursive=True))
            for match in matches or [name]:
                yield from _folder(match) if os.path.isdir(match) else [_file(match)]
        else:
            yield _file(name)


def _file(name: str) -> tuple[str, str]:
    return ("video" if is_video_name(name) else "image"), name


def _folder(name: str) -> Iterator[tuple[str, str]]:
    for place, folders, files in os.walk(name):
        folders.sort()
        for file in sorted(files):
            made = Path(Path(file).stem).suffix in (".annotated", ".timeline")
            if (is_image_name(file) or is_video_name(file)) and not made:
                yield _file(str(Path(place) / file))
