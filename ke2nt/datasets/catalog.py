"""All dataset readers by the name that users type. A new one is one file and one line here."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from ke2nt.config.values import is_of, type_words
from ke2nt.datasets.affectnet import AffectNet7, AffectNet8
from ke2nt.datasets.base import Reader
from ke2nt.datasets.ckplus import CKPlus
from ke2nt.datasets.corruptions import Corruptions
from ke2nt.datasets.drawn import DrawnReader
from ke2nt.datasets.fer2013 import FER2013
from ke2nt.datasets.ferplus import FERPlus
from ke2nt.datasets.folder import ImageFolder
from ke2nt.datasets.manifest import Manifest
from ke2nt.datasets.packed import Packed
from ke2nt.datasets.rafdb import RAFDB
from ke2nt.errors import DataError
from ke2nt.runtime.renamed import warn_renamed
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["READERS", "describe_reader", "get_reader"]

READERS: dict[str, type[Any]] = {
    "ferplus": FERPlus,
    "rafdb": RAFDB,
    "affectnet7": AffectNet7,
    "affectnet8": AffectNet8,
    "ckplus": CKPlus,
    "fer2013": FER2013,
    "folder": ImageFolder,
    "manifest": Manifest,
    "packed": Packed,
    "drawn": DrawnReader,
    "corruptions": Corruptions,
}

_RENAMED = {"synthetic": "drawn"}


def describe_reader(name: str) -> dict[str, Any]:
    """What can be said of a reader without its data, as plain JSON.

    Returns:
        `name`, `summary`, `classes`, `splits`, `options` (option → default) and `expected_tree`.
        Classes and splits are empty where they are as the data has them.

    Raises:
        DataError: No reader has that name.
    """
    reader = _reader(name)
    return {
        "name": name,
        "summary": getattr(reader, "summary", (inspect.getdoc(reader) or "").split("\n")[0]),
        "classes": list(getattr(reader, "classes", ())),
        "splits": list(reader.splits),
        "options": _options(reader),
        "expected_tree": reader.expected_tree,
    }


def get_reader(
    name: str,
    root: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    **more: Any,
) -> Reader:
    """The reader of a dataset.

    Args:
        name: A key of `READERS`.
        root: The dataset's folder, or the file of a manifest; None for drawn faces.
        options: Options of the reader, such as {"rule": "majority"}.
        **more: Further ones.

    Raises:
        DataError: The name, an option or its value is not known.
        LayoutError: The root does not have the dataset's layout.
    """
    reader = _reader(name)
    known, kinds = _options(reader), _kinds(reader)
    own = {**(options or {}), **more}
    for option, value in own.items():
        if option in known:
            if not is_of(value, kinds.get(option, Any)):
                raise DataError(
                    f"{name} cannot have this {option}",
                    expected=type_words(kinds[option]),
                    found=repr(value),
                )
        elif option == "root" or not _passes_on(reader):
            leave_out = "Leave it out; in a configuration: 'data.options={}'."
            raise DataError(
                f"{name} has no option {option!r}",
                expected=f"one of {', '.join(known)}" if known else "no option",
                hint=did_you_mean(option, known) if known else leave_out,
            )
    return reader(root, **own)


def _kinds(reader: type[Any]) -> dict[str, Any]:
    """Option → type, as far as a reader says."""
    try:
        return get_type_hints(reader.__init__)
    except NameError:  # of a type that is imported for type checkers alone
        return {}


def _options(reader: type[Any]) -> dict[str, Any]:
    parameters = inspect.signature(reader).parameters.values()
    return {
        p.name: list(p.default) if isinstance(p.default, tuple) else p.default
        for p in parameters
        if p.kind is p.KEYWORD_ONLY
    }


def _passes_on(reader: type[Any]) -> bool:
    """Whether a reader hands options that it does not know to another one."""
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(reader).parameters.values())


def _reader(name: str) -> type[Any]:
    if name in _RENAMED:
        warn_renamed("dataset", name, _RENAMED[name])
        name = _RENAMED[name]
    if name not in READERS:
        raise DataError(
            f"unknown dataset {name!r}",
            expected=f"one of {', '.join(READERS)}",
            hint=did_you_mean(name, READERS),
        )
    return READERS[name]
