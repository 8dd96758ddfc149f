"""One color per class, the same in every plot of a prediction."""

from __future__ import annotations

from ke2nt.plots.theme import LIGHT, Theme

__all__ = ["class_colors"]

_FURTHER_COLORS = ("#5bb8c9", "#d4a72c", "#b0608a", "#7a9a3c")


def class_colors(count: int, theme: Theme = LIGHT) -> tuple[str, ...]:
    """Return colors as #rrggbb; they repeat after ten classes."""
    palette = (*theme.series, *_FURTHER_COLORS)
    return tuple(palette[index % len(palette)] for index in range(count))
