"""People and sequences that file names tell, in datasets that circulate as loose images."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["find_name_scheme", "subject_pattern"]

# Dataset → pattern of its file names, whose first group is the person
_SCHEMES: dict[str, re.Pattern[str]] = {
    "ckplus": re.compile(r"(S\d{3})_\d{3}_\d{8}"),
    "jaffe": re.compile(r"([A-Z]{2})[.-](?:AN|DI|FE|HA|NE|SA|SU)\d"),
    "kdef": re.compile(r"[AB]([FM]\d{2})(?:AF|AN|DI|HA|NE|SA|SU)"),
    "rafd": re.compile(r"Rafd\d{3}_(\d+)_"),
}
# Least share of the names that follow a scheme
_SHARE = 0.9


def find_name_scheme(names: Iterable[str]) -> re.Pattern[str] | None:
    """The scheme that nearly every file name follows, or None; its first group is the person.

    One stray file must not hide the people of all others.

    Args:
        names: File names without folders.
    """
    names = list(names)
    for pattern in _SCHEMES.values():
        if names and sum(map(bool, map(pattern.match, names))) >= _SHARE * len(names):
            return pattern
    return None


def subject_pattern(dataset: str) -> re.Pattern[str]:
    """The scheme of a dataset's file names."""
    return _SCHEMES[dataset]
