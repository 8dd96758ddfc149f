"""A video's answers in bounded memory, however long it is, for the timeline picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ke2nt.plots.timeline import TimelineTrack
from ke2nt.predict.result import FaceResult

__all__ = ["Timeline"]


class Timeline:
    """Mean probabilities and intensities of each track over equal stretches of time.

    When a track outgrows the most stretches, they become twice as long for all. When there are too
    many tracks, the one that was seen least is forgotten.

    Args:
        classes: The label set.
        max_bins: Most stretches.
        max_tracks: Most tracks.
    """

    def __init__(
        self, classes: Sequence[str], *, max_bins: int = 1024, max_tracks: int = 32
    ) -> None:
        self._classes = tuple(classes)
        self._max_bins = max_bins
        self._max_tracks = max_tracks
        self._seconds = 1 / 32
        self._tracks: dict[int, dict[int, np.ndarray]] = {}
        self._last: dict[int, float] = {}

    def add(self, row: FaceResult) -> None:
        """Take in a row; those without a face or a time change nothing."""
        if row.time is None or row.track is None or not row.probabilities:
            return
        while row.time / self._seconds >= self._max_bins:
            self._halve()
        known = row.intensity is not None
        # sums: rows, probabilities, rows with an intensity, intensities
        values = np.array([1.0, *row.probabilities.values(), float(known), row.intensity or 0.0])
        bins = self._tracks.setdefault(row.track, {})
        index = int(row.time / self._seconds)
        bins[index] = bins.get(index, 0) + values
        self._last[row.track] = row.time
        if len(self._tracks) > self._max_tracks:
            self._forget(row.time)

    def tracks(self) -> tuple[TimelineTrack, ...]:
        """What is known, longest track first."""
        return tuple(
            self._track(number)
            for number in sorted(self._tracks, key=lambda n: (-self._seen(n), n))
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The label set."""
        return self._classes

    @property
    def seconds(self) -> float:
        """Length of a stretch."""
        return self._seconds

    def _track(self, number: int) -> TimelineTrack:
        bins = self._tracks[number]
        order = sorted(bins)
        sums = np.stack([bins[index] for index in order])
        with np.errstate(invalid="ignore"):
            intensities = sums[:, -1] / sums[:, -2]
        return TimelineTrack(
            number=number,
            times=(np.array(order) + 0.5) * self._seconds,
            probabilities=sums[:, 1:-2] / sums[:, :1],
            intensities=intensities,
        )

    def _seen(self, number: int) -> float:
        return float(sum(values[0] for values in self._tracks[number].values()))

    def _halve(self) -> None:
        self._seconds *= 2
        for number, bins in self._tracks.items():
            merged: dict[int, np.ndarray] = {}
            for index, values in bins.items():
                merged[index // 2] = merged.get(index // 2, 0) + values
            self._tracks[number] = merged

    def _forget(self, now: float) -> None:
        """Drop the least seen track, an ended one where there is any."""
        newest = max(self._tracks)
        number = min(
            (n for n in self._tracks if n != newest),
            key=lambda n: (now - self._last[n] <= 1, self._seen(n)),
        )
        del self._tracks[number], self._last[number]
