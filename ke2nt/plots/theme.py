"""Colors of the report, light and dark: one source for plots and pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["DARK", "LIGHT", "Theme", "contrast"]


@dataclass(frozen=True, slots=True)
class Theme:
    """Colors as #rrggbb that differ in lightness as well as hue, for every kind of color vision.

    Attributes:
        page: Background of the page.
        surface: Behind plots and cards.
        ink: Text.
        muted: Secondary text and axes.
        line: Grid lines and borders.
        accent: Bars, links and the high end of heat maps.
        right: A right answer (bluish green).
        wrong: A wrong answer (vermilion).
        series: Lines of a chart, in order.
    """

    page: str
    surface: str
    ink: str
    muted: str
    line: str
    accent: str
    right: str
    wrong: str
    series: tuple[str, ...]

    def readable_on(self, rgb: Sequence[float]) -> str:
        """Return ink or surface, whichever has more contrast with a color, RGB in [0, 1]."""
        return max((self.ink, self.surface), key=lambda name: contrast(_rgb(name), rgb))


def _rgb(name: str) -> tuple[float, ...]:
    return tuple(int(name[i : i + 2], 16) / 255 for i in (1, 3, 5))


def contrast(first: Sequence[float], second: Sequence[float]) -> float:
    """Compute the contrast ratio of WCAG 2.2, from 1 to 21, of two sRGB colors in [0, 1]."""

    def luminance(rgb: Sequence[float]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


LIGHT = Theme(
    page="#f5f6f8",
    surface="#ffffff",
    ink="#18202b",
    muted="#566171",
    line="#dde1e7",
    accent="#1f5fa8",
    right="#00775a",
    wrong="#c04a00",
    series=("#1f5fa8", "#c04a00", "#00775a", "#8a4b8f", "#946800", "#4a5563"),
)
DARK = Theme(
    page="#11151b",
    surface="#1a2029",
    ink="#e8ebf0",
    muted="#9fabbb",
    line="#343d4a",
    accent="#6fb1f2",
    right="#45cfae",
    wrong="#ff9457",
    series=("#6fb1f2", "#ff9457", "#45cfae", "#d79bdc", "#e6c14f", "#c3ccd8"),
)
