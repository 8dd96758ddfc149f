"""Load objects of other packages by dotted path, so that extensions need no change to ke2nt."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from ke2nt.errors import ConfigError

__all__ = ["is_dotted_path", "load_object"]


def is_dotted_path(name: str) -> bool:
    """Whether a name has the form "package.module.Name"."""
    parts = name.split(".")
    return len(parts) > 1 and all(part.isidentifier() for part in parts)


def load_object(path: str, *, kind: str) -> Any:
    """Import an object by its dotted path.

    The module is looked up on `sys.path`, then in the current folder.

    Args:
        path: "package.module.Name".
        kind: What the object is used as, such as "dataset reader", for messages.

    Raises:
        ConfigError: The module cannot be imported, or it has no such attribute.
    """
    module_name, _, name = path.rpartition(".")

    # `ke2nt` as an installed script does not search the current folder; `python -m ke2nt` does
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())

    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"cannot import the {kind} {path!r}",
            expected="package.module.Name of an installed package or of the current folder",
            found=error,
            hint=f"Check the name with: python -c 'import {module_name}'",
        ) from error

    if not hasattr(module, name):
        raise ConfigError(
            f"cannot import the {kind} {path!r}",
            expected=f"a name defined in {module_name}",
            found=f"no attribute {name!r}",
        )
    return getattr(module, name)
