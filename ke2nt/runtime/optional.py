"""Import of optional packages, with the line to type where one is absent."""

from __future__ import annotations

import importlib
from types import ModuleType

from ke2nt.errors import MissingExtraError

__all__ = ["import_optional"]


def import_optional(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a module of an optional package.

    Raises:
        MissingExtraError: The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingExtraError(module.split(".")[0], extra=extra, purpose=purpose) from error
