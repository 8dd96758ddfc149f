"""The images, videos and cameras that command-line arguments name."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ke2nt.data.picture_formats import is_image_name, is_system_name
from ke2nt.predict.video import is_video_name

__all__ = ["expand_paths"]

_GENERATED = (".annotated", ".timeline")  # suffixes of `AnnotationWriter`, before the file type


def expand_paths(names: Iterable[str]) -> Iterator[tuple[str, int | str]]:
    """List every image, video and camera that some names stand for.

    A folder stands for the images and videos in it and below it, sorted by name, without the files
    that `AnnotationWriter` wrote; a pattern such as "*.jpg" for the files that match; a number that
    is not a file for a camera. A file that is named itself is tried whatever its suffix, and a name
    without any file is kept.

    Yields:
        ("image", path), ("video", path) or ("camera", index).
    """
    for name in names:
        exists = os.path.exists(name)
        if os.path.isdir(name):
            yield from _walk_folder(name)
        elif name.isdecimal() and not exists:
            yield "camera", int(name)
        elif glob.has_magic(name) and not exists:
            yield from _match_pattern(name)
        else:
            yield _classify_file(name)


def _match_pattern(pattern: str) -> Iterator[tuple[str, str]]:
    matches = sorted(glob.glob(pattern, recursive=True))
    for match in matches or [pattern]:
        if os.path.isdir(match):
            yield from _walk_folder(match)
        else:
            yield _classify_file(match)


def _walk_folder(folder: str) -> Iterator[tuple[str, str]]:
    for parent, subfolders, files in os.walk(folder):
        # sorted in place: this is the order in which `os.walk` continues
        subfolders[:] = sorted(name for name in subfolders if not is_system_name(name))
        for file in sorted(files):
            is_generated = Path(Path(file).stem).suffix in _GENERATED
            if (is_image_name(file) or is_video_name(file)) and not is_generated:
                yield _classify_file(str(Path(parent) / file))


def _classify_file(name: str) -> tuple[str, str]:
    return ("video" if is_video_name(name) else "image"), name
