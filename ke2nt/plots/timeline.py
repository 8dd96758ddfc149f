"""The predictions of a video over time: one band per person, colored by expression."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ke2nt.plots.class_colors import class_colors
from ke2nt.plots.theme import LIGHT, Theme

__all__ = ["TimelineTrack", "plot_timeline"]

_DPI = 150
_MAX_TRACKS = 8
_GAP = 1.0  # seconds without the face, from which a gap is drawn


@dataclass(frozen=True, slots=True, eq=False)
class TimelineTrack:
    """One person over T stretches of time.

    Attributes:
        number: Number of the track.
        times: (T,) seconds, ascending; stretches without the person are left out.
        probabilities: (T, K), rows sum to 1.
        intensities: (T,), NaN if there is none.
    """

    number: int
    times: np.ndarray
    probabilities: np.ndarray
    intensities: np.ndarray


def plot_timeline(
    tracks: Sequence[TimelineTrack],
    classes: Sequence[str],
    *,
    seconds: float,
    title: str = "",
    theme: Theme = LIGHT,
) -> bytes:
    """Plot stacked probabilities of each track over time, and its intensity as a line; PNG.

    Args:
        tracks: The first eight are drawn.
        classes: K class names.
        seconds: Length of a stretch; a gap of over a second is left white.
        title: Headline, such as the video's name.
        theme: Colors.
    """
    shown = tracks[:_MAX_TRACKS]
    colors = class_colors(len(classes), theme)

    # One panel per person; a video without faces has one panel that says so.
    figure = Figure(figsize=(9, 1.3 + 1.25 * max(len(shown), 1)), facecolor=theme.surface)
    figure.set_layout_engine("constrained")
    panels = figure.subplots(max(len(shown), 1), 1, sharex=True, squeeze=False)[:, 0]
    if not shown:
        panels[0].text(0.5, 0.5, "no face in the video", ha="center", color=theme.muted)
        panels[0].axis("off")
    for axes, track in zip(panels, shown, strict=False):
        _draw_track(axes, track, colors, seconds, theme)

    if shown:
        panels[-1].set_xlabel("seconds", color=theme.muted)
    figure.legend(
        handles=[Patch(color=c, label=name) for c, name in zip(colors, classes, strict=True)],
        loc="outside lower center",
        ncols=min(len(classes), 8),
        frameon=False,
        fontsize=8,
        labelcolor=theme.ink,
    )
    heading = title
    if len(tracks) > len(shown):
        heading += f" (the {len(shown)} longest of {len(tracks)} tracks)"
    figure.suptitle(heading, color=theme.ink, fontsize=10, parse_math=False)

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _draw_track(
    axes: Axes, track: TimelineTrack, colors: Sequence[str], seconds: float, theme: Theme
) -> None:
    """Draw one person's probabilities as stacked areas, and the intensity above them."""
    starts, probabilities, intensities = _build_steps(track, seconds)
    tops = np.cumsum(probabilities, axis=1)
    bottom = np.zeros(len(tops))
    for top, color in zip(tops.T, colors, strict=True):
        axes.fill_between(starts, bottom, top, step="post", color=color, lw=0)
        bottom = top

    axes.set(ylim=(0, 1), yticks=())
    axes.set_ylabel(f"person {track.number}", color=theme.ink, fontsize=8)
    axes.tick_params(colors=theme.muted, labelsize=8, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)

    # A second axis on the right, if the model measures intensity.
    if np.isfinite(track.intensities).any():
        line = axes.twinx()
        line.step(starts, intensities, where="post", color=theme.ink, lw=1.1)
        line.axhline(0, color=theme.ink, lw=0.5, ls=":")
        line.tick_params(colors=theme.muted, labelsize=7, length=0)
        line.set_ylabel("intensity", color=theme.muted, fontsize=7)
        for spine in line.spines.values():
            spine.set_visible(False)


def _build_steps(track: TimelineTrack, seconds: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, probabilities and intensities for a step plot; NaN while the face is away."""
    # Last stretch before each gap, and the end of the track.
    starts = track.times - seconds / 2
    away = np.append(np.diff(starts) > max(_GAP, 2.5 * seconds), True)
    ends = (starts + seconds)[away]

    # There, the last value holds to the end of its stretch, followed by NaN.
    times = np.concatenate([starts, ends, ends])
    order = np.argsort(times, kind="stable")

    def add_ends(values: np.ndarray) -> np.ndarray:
        last = values[away]
        return np.concatenate([values, last, np.full_like(last, np.nan)])[order]

    return times[order], add_ends(track.probabilities), add_ends(track.intensities)
