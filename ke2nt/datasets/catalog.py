"""Datasets by name: `load_dataset` for users, and the table of all readers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, overload

from ke2nt.data.sample import FaceSplit
from ke2nt.datasets.base import Reader
from ke2nt.datasets.corruptions import Corruptions
from ke2nt.datasets.lookup import default_options, find_reader, open_reader
from ke2nt.datasets.table import SINGLE_READERS

__all__ = ["READERS", "describe_reader", "get_reader", "load_dataset"]

READERS: dict[str, type[Reader]] = {**SINGLE_READERS, "corruptions": Corruptions}


@overload
def load_dataset(
    name: str, root: str | Path | None = None, split: None = None, **options: Any
) -> Reader: ...


@overload
def load_dataset(
    name: str, root: str | Path | None = None, split: str = ..., **options: Any
) -> FaceSplit: ...


def load_dataset(
    name: str, root: str | Path | None = None, split: str | None = None, **options: Any
) -> Reader | FaceSplit:
    """Open a dataset, or load one of its splits.

    Nothing is decoded yet: a split holds the annotations and the places of the images.

    Args:
        name: A dataset, as `ke2nt data list` names it, or the dotted path of your own subclass of
            `ke2nt.datasets.base.Reader`, such as "my_package.readers.Diary".
        root: The dataset's folder, or the file of a manifest; None for drawn faces.
        split: The split to load, such as "test".
        **options: Options of the reader, such as `rule="majority"`.

    Returns:
        The split, or the reader if no split is given.

    Raises:
        DataError: The name, an option, its value or the split is unknown.
        ConfigError: The dotted path does not lead to a reader.
        LayoutError: The root does not have the dataset's layout.

    Example:
        >>> test = load_dataset("ferplus", root, "test", rule="majority")
        >>> faces = load_dataset("drawn", seed=7)
    """
    reader = get_reader(name, root, options)
    return reader if split is None else reader.load(split)


def get_reader(
    name: str,
    root: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    **more_options: Any,
) -> Reader:
    """The reader of a dataset.

    Args:
        name: A key of `READERS`, or the dotted path of a subclass of `Reader`.
        root: The dataset's folder, or the file of a manifest; None for drawn faces.
        options: Options of the reader, such as {"rule": "majority"}.
        **more_options: Further options.

    Raises:
        DataError: The name, an option or its value is unknown.
        ConfigError: The dotted path does not lead to a reader.
        LayoutError: The root does not have the dataset's layout.
    """
    reader_class = find_reader(name, READERS)
    return open_reader(name, reader_class, root, {**(options or {}), **more_options})


def describe_reader(name: str) -> dict[str, Any]:
    """Describe a reader without its data, as plain JSON.

    Returns:
        `name`, `summary`, `classes`, `splits`, `options` (option → default) and `expected_tree`.
        Classes and splits are empty where they depend on the data.

    Raises:
        DataError: The name is unknown.
        ConfigError: The dotted path does not lead to a reader.
    """
    reader_class = find_reader(name, READERS)
    # users' readers may leave most attributes out
    docstring = inspect.getdoc(reader_class) or ""
    return {
        "name": name,
        "summary": reader_class.summary or docstring.split("\n")[0],
        "classes": list(getattr(reader_class, "classes", ())),
        "splits": list(getattr(reader_class, "splits", ())),
        "options": default_options(reader_class),
        "expected_tree": reader_class.expected_tree,
    }
