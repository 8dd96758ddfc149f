"""Shares, counted things and file names as text, for tables, sentences and pages."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "NOTHING",
    "first_few",
    "first_line",
    "percent",
    "percent_cell",
    "percent_points",
    "printable",
]

NOTHING = "–"  # stands for a number that does not exist, such as the recall of an empty class


def percent(share: float | Sequence[float] | None, digits: int = 1) -> str:
    """Format a share or an interval of shares with its unit.

    Args:
        share: A number in [0, 1], a pair (low, high), or None.
        digits: Digits after the decimal point.

    Returns:
        "84.5 %", "83.2–85.7 %", or a dash for None.
    """
    return NOTHING if share is None else f"{percent_cell(share, digits)} %"


def percent_cell(share: float | Sequence[float] | None, digits: int = 1) -> str:
    """Format as `percent` does, without the unit, for a table column whose header has it."""
    if share is None:
        return NOTHING
    if isinstance(share, Sequence):
        low, high = share
        return f"{100 * low:.{digits}f}–{100 * high:.{digits}f}"
    return f"{100 * share:.{digits}f}"


def percent_points(
    difference: float | None, interval: Sequence[float] | None = None, digits: int = 1
) -> str:
    """Format a difference of two shares in percentage points, without a unit.

    Args:
        difference: A number in [-1, 1], or None.
        interval: Its interval, if there is one.
        digits: Digits after the decimal point.

    Returns:
        "+1.2", or "+1.2 (-0.3 to +2.7)" with an interval. Zero has no sign; None is a dash.
    """
    if difference is None:
        return NOTHING

    text = f"{100 * difference:+.{digits}f}"
    if not text.strip("+-0."):
        text = text[1:]
    if interval is None:
        return text

    low, high = (percent_points(bound, digits=digits) for bound in interval)
    return f"{text} ({low} to {high})"


def printable(name: str) -> str:
    """A file name as text that can be printed and written, whatever bytes it was made of.

    Bytes that are not UTF-8 become escapes, such as "caf\\udce9.png".
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, at most 200 characters; else its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def first_few(names: Sequence[str], limit: int = 5) -> str:
    """Some names with commas, and how many more there are: "a, b and 3 more"."""
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")
