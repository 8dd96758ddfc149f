"""A dataset to evaluate on, as one text: NAME=DIR,KEY=VALUE…"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from ke2nt.data.sample import FaceSplit
from ke2nt.datasets.catalog import READERS, get_reader
from ke2nt.errors import ConfigError, DataError
from ke2nt.runtime.extensions import is_dotted_path
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["Target", "disambiguate_targets"]

_FORM = "NAME=DIR[,split=…][,limit=…][,as=…][,OPTION=…]…, such as ferplus=DIR,split=val"
_SPLITS = ("test", "val")


@dataclass(frozen=True)
class Target:
    """A split of a dataset.

    Attributes:
        dataset: Reader name.
        root: The dataset's folder; None for drawn faces.
        split: None for the test split, or else val, or else the only one.
        options: Options of the reader.
        limit: At most so many images, spread over the split.
        label: Its name in tables; None for dataset and split.
    """

    dataset: str
    root: str | None = None
    split: str | None = None
    options: Mapping[str, Any] | None = None
    limit: int | None = None
    label: str | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read NAME=DIR,KEY=VALUE…; values are YAML.

        A comma separates only where a key and "=" follow it, so that folders and values may hold
        others. The keys split, limit and as are the target's own, all others the reader's.

        Raises:
            ConfigError: It has another form, or names no dataset that there is.
        """
        first, *rest = re.split(r",(?=[A-Za-z_]\w*=)", text.strip())
        dataset, _, root = (part.strip() for part in first.partition("="))
        if dataset not in READERS and not is_dotted_path(dataset):
            raise ConfigError(
                f"{text!r} names no dataset to evaluate on",
                expected=f"{_FORM}; NAME is one of {', '.join(READERS)}",
                hint=did_you_mean(dataset, READERS),
            )
        values: dict[str, Any] = {}
        for part in rest:
            key, _, value = part.partition("=")
            try:
                values[key] = yaml.safe_load(value)
            except yaml.YAMLError as error:
                raise ConfigError(f"{part!r} cannot be read", expected=_FORM) from error
        limit = values.pop("limit", None)
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ConfigError("limit is no number of images", where=text, found=limit)
        split, label = values.pop("split", None), values.pop("as", None)
        return cls(
            dataset,
            root or None,
            None if split is None else str(split),
            values,
            limit,
            None if label is None else str(label),
        )

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.label or " ".join(filter(None, (self.dataset, self.split)))

    def load(self) -> FaceSplit:
        """The images.

        Raises:
            DataError: The dataset, an option or the split is not valid, or it is not said which of
                several splits is meant.
        """
        reader = get_reader(self.dataset, self.root, self.options)
        split = self.split or _usual_split(self.dataset, reader.splits)
        return reader.load(split).spread(self.limit)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            "name": self.name,
            "dataset": self.dataset,
            "root": self.root,
            "split": self.split,
            "options": dict(self.options or {}),
            "limit": self.limit,
        }


def disambiguate_targets(targets: Sequence[Target]) -> list[Target]:
    """The same targets; where two have one name, their options become part of it.

    Raises:
        ConfigError: Two are still named alike.
    """
    counts = Counter(target.name for target in targets)
    found = []
    for target in targets:
        if counts[target.name] > 1 and target.label is None:
            more = ", ".join(f"{key} {value}" for key, value in (target.options or {}).items())
            target = replace(target, label=f"{target.name} ({more})" if more else None)
        found.append(target)
    twice = [name for name, n in Counter(target.name for target in found).items() if n > 1]
    if twice:
        raise ConfigError(
            f"two datasets are both called {twice[0]!r}", hint="Name one of them: …,as=NAME"
        )
    return found


def _usual_split(dataset: str, splits: Sequence[str]) -> str:
    for name in _SPLITS if len(splits) > 1 else splits:
        if name in splits:
            return name
    raise DataError(
        f"it is not said which split of {dataset} is meant",
        expected=f"split= one of {', '.join(splits)}",
    )
