"""From a dataset name to its reader: names, dotted paths to users' readers, and option checks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from ke2nt.config.values import describe_type, has_type
from ke2nt.datasets.base import Reader
from ke2nt.datasets.folder import ImageFolder
from ke2nt.datasets.forms import suggest_forms
from ke2nt.datasets.manifest import Manifest
from ke2nt.errors import ConfigError, DataError, LayoutError
from ke2nt.labels import CANONICAL
from ke2nt.runtime.extensions import is_dotted_path, load_class
from ke2nt.runtime.formatting import first_few
from ke2nt.runtime.renamed import warn_renamed
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["default_options", "find_reader", "open_reader"]

_RENAMED = {"synthetic": "drawn"}


def find_reader(name: str, readers: Mapping[str, type[Reader]]) -> type[Reader]:
    """The reader class of a dataset.

    Args:
        name: A key of `readers`, or a dotted path "package.module.Name" to a subclass of `Reader`.
        readers: Name → class.

    Raises:
        DataError: The name is unknown.
        ConfigError: The dotted path cannot be imported, or does not lead to a complete `Reader`.
    """
    if name in _RENAMED:
        warn_renamed("dataset", name, _RENAMED[name])
        name = _RENAMED[name]

    # a name in the table comes before a module of the same name
    if name in readers:
        return readers[name]
    if is_dotted_path(name):
        return _import_reader(name)
    raise DataError(
        f"unknown dataset {name!r}",
        expected=f"one of {', '.join(readers)}, or a dotted path to a Reader class",
        hint=did_you_mean(name, readers),
    )


def open_reader(
    name: str, reader_class: type[Reader], root: str | Path | None, options: Mapping[str, Any]
) -> Reader:
    """Check the options of a reader and build it.

    Args:
        name: Name of the dataset, for messages.
        reader_class: Its reader.
        root: The dataset's folder.
        options: Keyword arguments of the reader.

    Raises:
        DataError: An option is unknown, has a value of a wrong type, or the reader lacks an
            attribute.
        LayoutError: The root does not have the dataset's layout.
    """
    defaults, types = default_options(reader_class), _option_types(reader_class)
    for option, value in options.items():
        if option in defaults:
            if not has_type(value, types.get(option, Any)):
                raise DataError(
                    f"invalid {option} for {name}",
                    expected=describe_type(types[option]),
                    found=repr(value),
                )
        elif option == "root" or not _accepts_any_option(reader_class):
            raise _unknown_option(name, option, defaults)

    try:
        reader = reader_class(root, **options)
    except LayoutError as error:
        raise _suggest_reader(error, reader_class, root) from error
    _check_attributes(name, reader)
    _refuse_structure(reader, options)
    return reader


def default_options(reader_class: type[Reader]) -> dict[str, Any]:
    """Option → default value of a reader, as plain JSON values."""
    # options are the keyword-only arguments
    parameters = inspect.signature(reader_class).parameters.values()
    return {
        p.name: list(p.default) if isinstance(p.default, tuple) else p.default
        for p in parameters
        if p.kind is p.KEYWORD_ONLY
    }


def _suggest_reader(
    error: LayoutError, reader_class: type[Reader], root: str | Path | None
) -> LayoutError:
    """The error of a layout, with a hint which reader would take the folder."""
    if root is None:
        return error
    # folders and lists of any kind lie in datasets of a known form, so that its reader comes first
    folder = Path(root).expanduser()
    hint = error.hint
    if reader_class in (ImageFolder, Manifest):
        hint = suggest_forms(folder, reader_class, below=False) or hint
    return LayoutError(
        error.message,
        expected=error.expected,
        found=error.found,
        where=error.where,
        hint=hint or suggest_forms(folder, reader_class),
    )


def _refuse_structure(reader: Reader, options: Mapping[str, Any]) -> None:
    """Raise LayoutError if folders of another layout were taken for classes.

    Folders such as Image/aligned and train/images hold images, but name no class.
    """
    if type(reader) is not ImageFolder or options.get("classes") or options.get("codes"):
        return
    if not set(reader.classes) & set(CANONICAL):
        hint = suggest_forms(reader.root, ImageFolder, below=False)
        if hint is not None:
            names = first_few(reader.classes, 3)
            raise reader.layout_error(f"the folders {names} are parts of another layout", hint=hint)


def _import_reader(path: str) -> type[Reader]:
    expected = "a subclass of ke2nt.datasets.base.Reader"
    reader_class: type[Reader] = load_class(
        path,
        Reader,  # type: ignore[type-abstract]
        kind="dataset reader",
        expected=expected,
    )

    # an abstract method would only be noticed when the reader is built, as a TypeError
    missing = sorted(getattr(reader_class, "__abstractmethods__", ()))
    if not hasattr(reader_class, "name"):  # messages of the base class use it
        missing.append("name")
    if missing:
        raise ConfigError(
            f"the dataset reader {path!r} is incomplete",
            expected=f"a definition of {', '.join(missing)}",
        )
    return reader_class


def _check_attributes(name: str, reader: Reader) -> None:
    """Raise DataError unless a reader says what it holds; on the class this is optional."""
    for attribute in ("classes", "splits"):
        if not hasattr(reader, attribute):
            raise DataError(
                f"the reader of {name} has no attribute {attribute!r}",
                expected="an attribute of the class, or one set in __init__",
            )


def _option_types(reader_class: type[Reader]) -> dict[str, Any]:
    """Option → type, where annotated."""
    try:
        return get_type_hints(reader_class.__init__)
    except NameError:  # a type imported under TYPE_CHECKING only
        return {}


def _accepts_any_option(reader_class: type[Reader]) -> bool:
    """Whether a reader passes unknown options to another reader."""
    parameters = inspect.signature(reader_class).parameters.values()
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def _unknown_option(name: str, option: str, known: Mapping[str, Any]) -> DataError:
    leave_out = "Leave it out; in a configuration: 'data.options={}'."
    return DataError(
        f"{name} has no option {option!r}",
        expected=f"one of {', '.join(known)}" if known else "no option",
        hint=did_you_mean(option, known) if known else leave_out,
    )
