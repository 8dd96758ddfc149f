"""One colour a class, the same in every picture of a prediction."""

from __future__ import annotations

from ke2nt.report.theme import LIGHT, Theme

__all__ = ["class_colours"]

_MORE = ("#5bb8c9", "#d4a72c", "#b0608a", "#7a9a3c")


def class_colours(count: int, theme: Theme = LIGHT) -> tuple[str, ...]:
    """Colours as #rrggbb; they repeat after ten classes."""
    known = (*theme.series, *_MORE)
    return tuple(known[index % len(known)] for index in range(count))
