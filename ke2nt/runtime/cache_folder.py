"""The folder of the cache."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from platformdirs import user_cache_dir

from ke2nt.errors import CacheError

__all__ = ["cache_folder", "make_cache_folder"]


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Return the given folder, else `KE2NT_CACHE`, else the platform's cache folder for ke2nt."""
    folder = cache_dir or os.environ.get("KE2NT_CACHE") or user_cache_dir("ke2nt", appauthor=False)
    return Path(folder).expanduser()


def make_cache_folder(name: str) -> Path:
    """Return a folder of the cache, made if it is missing.

    Raises:
        CacheError: It cannot be written, which is better known before long work than after it.
    """
    folder = cache_folder() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CacheError(
            "the cache cannot be written",
            where=folder,
            expected="a folder that can be written",
            found=error.strerror or error,
            hint="Name another one with KE2NT_CACHE.",
        ) from error
    return folder
