"""From the name of a generator to its folder, without torch."""

from __future__ import annotations

from pathlib import Path

from ke2nt.errors import CheckpointError

__all__ = ["CONFIG_FILE", "find_generator"]

CONFIG_FILE = "generator.json"


def find_generator(path: Path) -> Path:
    """Return the folder of a saved generator.

    Args:
        path: That folder, or a run that saved a generator.

    Raises:
        CheckpointError: There is none.
    """
    for folder in (path / "generator", path / "synthesis" / "generator", path):
        if (folder / CONFIG_FILE).is_file():
            return folder
    raise CheckpointError(
        "no saved generator",
        expected=f"a folder with {CONFIG_FILE}, or a run of ke2nt gan pretrain",
        where=path,
    )
