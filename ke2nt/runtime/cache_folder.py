"""The folder of the cache."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_dir

__all__ = ["cache_folder"]


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Return the given folder, else `KE2NT_CACHE`, else the platform's cache folder for ke2nt."""
    folder = cache_dir or os.environ.get("KE2NT_CACHE") or user_cache_dir("ke2nt", appauthor=False)
    return Path(folder).expanduser()
