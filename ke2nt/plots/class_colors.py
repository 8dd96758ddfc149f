"""One color a class, the same in every picture of a prediction."""

from __future__ import annotations

from ke2nt.plots.theme import LIGHT, Theme

__all__ = ["class_colors"]

_MORE = ("#5bb8c9", "#d4a72c", "#b0608a", "#7a9a3c")


def class_colors(count: int, theme: Theme = LIGHT) -> tuple[str, ...]:
    """Colors as #rrggbb; they repeat after ten classes."""
    known = (*theme.series, *_MORE)
    return tuple(known[index % len(known)] for index in range(count))
