"""Types of dataset options, and YAML without repeated keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import yaml

from ke2nt.config.values import has_type
from ke2nt.datasets import catalog
from ke2nt.datasets.base import Reader
from ke2nt.datasets.catalog import get_reader
from ke2nt.runtime.plain_yaml import PlainLoader


@pytest.mark.parametrize(
    ("value", "kind", "right"),
    [
        (3, int, True),
        (np.int64(3), int, True),
        (True, int, False),
        ("3", int, False),
        (3, float, True),
        (np.array(["a"]), Sequence[str], True),
        (("a",), str | Sequence[str], True),
        ([1], str | Sequence[str], False),
        (None, int | None, True),
        (object(), Any, True),
    ],
)
def test_values_of_a_type(value, kind, right):
    assert has_type(value, kind) is right


def test_custom_readers_need_no_annotations(monkeypatch):
    class Custom(Reader):
        name = "custom"
        classes = ("neutral",)
        splits = ("train",)

        def __init__(self, root, *, first=1, second: Unknown = 2):  # noqa: F821
            super().__init__(root)
            self.options = first, second

        def read_samples(self, split):
            return []

    monkeypatch.setitem(catalog.READERS, "custom", Custom)
    assert get_reader("custom", root=".", first="x", second=None).options == ("x", None)


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        ("{a: 1, b: {a: 1}}", False),
        ("{a: 1, a: 2}", True),
        ("{1: 1, '1': 2}", False),
        ("b: &b {x: 1}\na: {d: &d {<<: *b, x: 2}}\ne: {<<: *d, z: 1}", False),
    ],
)
def test_repeated_keys_are_refused(text, twice):
    if twice:
        with pytest.raises(yaml.MarkedYAMLError, match="'a' is given twice"):
            yaml.load(text, Loader=PlainLoader)
    else:
        assert yaml.load(text, Loader=PlainLoader) == yaml.safe_load(text)
