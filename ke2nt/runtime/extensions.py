"""Load objects of other packages by dotted path, so that extensions need no change to ke2nt."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Mapping
from typing import Any, TypeVar

from ke2nt.errors import ConfigError, Ke2ntError

__all__ = ["build_object", "has_package", "is_dotted_path", "load_class", "load_object"]

T = TypeVar("T")


def is_dotted_path(name: str) -> bool:
    """Whether a name has the form "package.module.Name"."""
    parts = name.split(".")
    return len(parts) > 1 and all(part.isidentifier() for part in parts)


def has_package(path: str) -> bool:
    """Whether the package of a dotted path exists; nothing is imported."""
    _search_current_folder()
    package = path.split(".")[0]
    return package in sys.modules or importlib.util.find_spec(package) is not None


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

    _search_current_folder()
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


def load_class(path: str, base: type[T], *, kind: str, expected: str) -> type[T]:
    """Import a class by its dotted path.

    Args:
        path: "package.module.Name".
        base: What it has to derive from.
        kind: As for `load_object`.
        expected: The base in words, for messages.

    Raises:
        ConfigError: It cannot be imported, or is no such class.
    """
    loaded = load_object(path, kind=kind)
    if not (inspect.isclass(loaded) and issubclass(loaded, base)):
        article = "an" if kind[0] in "aeiou" else "a"
        raise ConfigError(
            f"{path!r} is not {article} {kind}", expected=expected, found=repr(loaded)[:100]
        )
    return loaded


def build_object(
    path: str,
    *,
    kind: str,
    options: Mapping[str, Any] | None = None,
    expected: str = "a class that is created without arguments",
    error: type[Ke2ntError] = ConfigError,
) -> Any:
    """Import a class by its dotted path, and create an object of it.

    Args:
        path: "package.module.Name".
        kind: As for `load_object`.
        options: Arguments.
        expected: What can be created, for messages.
        error: Raised if it cannot be created.

    Raises:
        ConfigError: It cannot be imported.
        Ke2ntError: `error`, or the class's own if it is one that users meet.
    """
    factory, options = load_object(path, kind=kind), options or {}
    if not callable(factory):
        raise error(f"{path} is not a {kind} class", found=type(factory).__name__)

    try:
        return factory(**options)
    except Ke2ntError:
        raise
    except Exception as cause:  # the code of another package may raise anything
        raise error(
            f"cannot build the {kind} {path!r}",
            expected=expected,
            found=f"{dict(options) or 'no options'}: {type(cause).__name__}: {cause}",
        ) from cause


def _search_current_folder() -> None:
    """Search it last: `ke2nt` as an installed script does not; `python -m ke2nt` does."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
