"""Shipped prompt sets and configurations by name.

In a checkout they are in the top-level folders `prompts/` and `configs/`; an installed wheel has
them inside the package.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

from ke2nt.errors import ConfigError, Ke2ntError, PromptError
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["find_resource", "list_resources", "resource_folder"]

Kind = Literal["prompts", "configs"]


def resource_folder(kind: Kind) -> Path:
    """Return the folder of the shipped YAML files of one kind."""
    package = Path(__file__).resolve().parent
    installed = package / "_resources" / kind
    return installed if installed.is_dir() else package.parent / kind


def list_resources(kind: Kind) -> dict[str, Path]:
    """Return name → file of every shipped YAML of one kind, sorted by name."""
    return {path.stem: path for path in sorted(resource_folder(kind).glob("*.yaml"))}


def find_resource(
    kind: Kind, name: str | Path, listed: Callable[[], Collection[str]] | None = None
) -> Path:
    """Find a file by name ("paper"), shipped path ("configs/quickstart.yaml") or a user's path.

    An existing file comes first; otherwise the name is looked up among the shipped ones.

    Args:
        kind: What is looked for.
        name: A name or a file.
        listed: Returns the names to list in the message; all of them by default.

    Raises:
        PromptError or ConfigError: There is no such file or name; the message lists the names.
    """
    path = Path(os.path.expanduser(name))
    if os.path.isfile(path):  # unlike Path.is_file, False for a name that is too long
        return path

    # "paper", "paper.yaml" and "prompts/paper.yaml" all name a shipped file
    known = list_resources(kind)
    has_shipped_folder = path.parent in (Path(), Path(kind))
    has_yaml_suffix = path.suffix in ("", ".yaml", ".yml")
    if has_shipped_folder and has_yaml_suffix and path.stem in known:
        return known[path.stem]

    error: type[Ke2ntError] = PromptError if kind == "prompts" else ConfigError
    names = known if listed is None else listed()
    raise error(
        f"no {kind[:-1]} file or shipped name {str(name)!r}",
        expected=f"a YAML file, or one of {', '.join(names)}",
        hint=did_you_mean(path.stem, names),
    )
