"""Prompt sets and configs that come with the project, found by name.

In a checkout they are the top-level folders `prompts/` and `configs/`; in an installed wheel they
are carried inside the package.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from ke2nt.errors import ConfigError, Ke2ntError, PromptError
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["find_resource", "list_resources", "resource_folder"]

Kind = Literal["prompts", "configs"]


def resource_folder(kind: Kind) -> Path:
    """Folder of the shipped YAML files of one kind."""
    package = Path(__file__).resolve().parent
    carried = package / "_resources" / kind
    return carried if carried.is_dir() else package.parent / kind


def list_resources(kind: Kind) -> dict[str, Path]:
    """Name → file of every shipped YAML of one kind, sorted by name."""
    return {path.stem: path for path in sorted(resource_folder(kind).glob("*.yaml"))}


def find_resource(kind: Kind, name: str | Path) -> Path:
    """File for a name ("paper"), a shipped path ("configs/quickstart.yaml") or a user's path.

    A file that exists is taken as it is; otherwise the name is looked up among the shipped ones.

    Raises:
        PromptError or ConfigError: No such file or name; the message lists the known names.
    """
    path = Path(os.path.expanduser(name))
    if os.path.isfile(path):  # unlike Path.is_file, False for a name that is too long
        return path
    known = list_resources(kind)
    bare = path.parent in (Path(), Path(kind))
    if bare and path.suffix in ("", ".yaml", ".yml") and path.stem in known:
        return known[path.stem]
    error: type[Ke2ntError] = PromptError if kind == "prompts" else ConfigError
    raise error(
        f"no {kind[:-1]} file or shipped name {str(name)!r}",
        expected=f"a YAML file, or one of {', '.join(known)}",
        hint=did_you_mean(path.stem, known),
    )
