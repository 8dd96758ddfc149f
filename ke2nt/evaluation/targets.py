"""A dataset to evaluate on, written as one argument: NAME=DIR,KEY=VALUE…"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from ke2nt.data.sample import FaceSplit
from ke2nt.datasets.base import Reader
from ke2nt.datasets.catalog import READERS, get_reader
from ke2nt.errors import ConfigError, DataError
from ke2nt.runtime.extensions import is_dotted_path
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["Target", "disambiguate_targets"]

_FORM = "NAME=DIR[,split=…][,limit=…][,as=…][,OPTION=…]…, such as ferplus=DIR,split=val"
_DEFAULT_SPLITS = ("test", "val")


@dataclass(frozen=True)
class Target:
    """A split of a dataset.

    Attributes:
        dataset: Reader name.
        root: The dataset's folder; None for drawn faces.
        split: Split name; None for the test split, else val, else the only one.
        options: Options of the reader.
        limit: Maximum number of images, spread over the split.
        label: Name in tables; None for dataset and split.
    """

    dataset: str
    root: str | None = None
    split: str | None = None
    options: Mapping[str, Any] | None = None
    limit: int | None = None
    label: str | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Parse NAME=DIR,KEY=VALUE…; values are YAML.

        A comma separates only if a key and "=" follow it, so folders and values may contain
        commas. The keys split, limit and as set fields of the target; all others are options of
        the reader.

        Raises:
            ConfigError: The text has another form, or names an unknown dataset.
        """
        head, *pairs = re.split(r",(?=[A-Za-z_]\w*=)", text.strip())
        dataset, _, root = (part.strip() for part in head.partition("="))
        if dataset not in READERS and not is_dotted_path(dataset):
            raise ConfigError(
                f"{text!r} names no dataset to evaluate on",
                expected=f"{_FORM}; NAME is one of {', '.join(READERS)}",
                hint=did_you_mean(dataset, READERS),
            )

        # The rest of the pairs are options of the reader.
        values = _parse_pairs(pairs)
        split, label = values.pop("split", None), values.pop("as", None)
        limit = values.pop("limit", None)
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ConfigError("limit must be a positive integer", where=text, found=limit)

        return cls(
            dataset=dataset,
            root=root or None,
            split=None if split is None else str(split),
            options=values,
            limit=limit,
            label=None if label is None else str(label),
        )

    @property
    def name(self) -> str:
        """Name in tables."""
        return self.label or " ".join(filter(None, (self.dataset, self.split)))

    def open_reader(self) -> Reader:
        """Return the reader of the dataset.

        Raises:
            DataError: The dataset's name, folder or options are not valid.
        """
        return get_reader(self.dataset, self.root, self.options)

    def load(self, reader: Reader | None = None) -> FaceSplit:
        """Load the images.

        Args:
            reader: From `open_reader`; opened here if None.

        Raises:
            DataError: The dataset, an option or the split is not valid, or several splits exist and
                none is chosen.
        """
        reader = reader or self.open_reader()
        split = self.split or _choose_split(self.dataset, reader.splits)
        return reader.load(split).spread(self.limit)

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return {
            "name": self.name,
            "dataset": self.dataset,
            "root": self.root,
            "split": self.split,
            "options": dict(self.options or {}),
            "limit": self.limit,
        }


def disambiguate_targets(targets: Sequence[Target]) -> list[Target]:
    """Add the options of targets to their names if two have the same name.

    Raises:
        ConfigError: Two names are still equal.
    """
    # Names that were chosen by hand stay.
    counts = Counter(target.name for target in targets)
    renamed = []
    for target in targets:
        if counts[target.name] > 1 and target.label is None:
            options = ", ".join(f"{key} {value}" for key, value in (target.options or {}).items())
            target = replace(target, label=f"{target.name} ({options})" if options else None)
        renamed.append(target)

    # Targets with the same options, or with names chosen by hand, may still be equal.
    counts = Counter(target.name for target in renamed)
    duplicates = [name for name, count in counts.items() if count > 1]
    if duplicates:
        raise ConfigError(
            f"two datasets have the name {duplicates[0]!r}",
            hint="Give one of them another name: …,as=NAME",
        )
    return renamed


def _parse_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse KEY=VALUE texts; values are YAML."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"{pair!r} cannot be read", expected=_FORM) from error
    return values


def _choose_split(dataset: str, splits: Sequence[str]) -> str:
    """Choose test, else val, else the only split."""
    # Test and validation data, never training data unless it is all there is.
    if len(splits) == 1:
        return splits[0]
    for name in _DEFAULT_SPLITS:
        if name in splits:
            return name
    raise DataError(f"missing split for {dataset}", expected=f"split= one of {', '.join(splits)}")
