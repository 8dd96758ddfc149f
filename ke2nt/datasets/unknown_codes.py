"""Codes of expressions that a dataset does not have: all of them in one error, with counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ke2nt.errors import DataError
from ke2nt.runtime.formatting import first_few, printable

__all__ = ["describe_numbers", "list_codes", "unknown_codes_error"]

_MAX_LISTED = 12


def unknown_codes_error(
    codes: Iterable[object],
    *,
    where: object,
    expected: str,
    message: str = "unknown numbers of expressions",
    hint: str | None = None,
) -> DataError:
    """The error for all unknown codes of a file or folder.

    Args:
        codes: Unknown codes, one for each time that they occur.
        where: The file, with the first line that has one, or the folder.
        expected: The codes that are known.
        message: What is wrong.
        hint: What to do about them.
    """
    found = list_codes(codes)
    return DataError(message, where=where, expected=expected, found=found, hint=hint)


def list_codes(codes: Iterable[object]) -> str:
    """Codes with how often they occur: "8 (2), 12 (1)"."""
    counts = Counter(str(code) for code in codes)
    # short ones first, so that 12 comes after 8
    names = sorted(counts, key=lambda code: (len(code), code))
    listed = [f"{printable(name[:40]) or 'nothing'} ({counts[name]})" for name in names]
    return first_few(listed, _MAX_LISTED)


def describe_numbers(classes: Sequence[str], first: int = 0) -> str:
    """Classes with their numbers: "1 surprise, 2 fear"."""
    return ", ".join(f"{number} {name}" for number, name in enumerate(classes, start=first))
