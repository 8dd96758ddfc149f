"""The results of a video for its timeline plot, in bounded memory however long the video is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ke2nt.plots.timeline import TimelineTrack
from ke2nt.predict.result import FaceResult

__all__ = ["Timeline"]

_FIRST_BIN_SECONDS = 1 / 32
_ENDED_SECONDS = 1  # a track that has no face for longer has ended


class Timeline:
    """Mean probabilities and intensities of each track over equal bins of time.

    When a track needs more than the maximum number of bins, all bins become twice as long. When
    there are too many tracks, the one with the fewest faces is dropped.

    Args:
        classes: The label set.
        max_bins: Maximum number of bins.
        max_tracks: Maximum number of tracks.
    """

    def __init__(
        self, classes: Sequence[str], *, max_bins: int = 1024, max_tracks: int = 32
    ) -> None:
        self._classes = tuple(classes)
        self._max_bins = max_bins
        self._max_tracks = max_tracks
        self._bin_seconds = _FIRST_BIN_SECONDS

        # track number → bin index → sums, see `add`
        self._tracks: dict[int, dict[int, np.ndarray]] = {}
        self._last_times: dict[int, float] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """The label set."""
        return self._classes

    @property
    def seconds(self) -> float:
        """Length of a bin in seconds."""
        return self._bin_seconds

    def add(self, row: FaceResult) -> None:
        """Add a result; one without a face or a time changes nothing."""
        if row.time is None or row.track is None or not row.probabilities:
            return

        # bins grow until the new time fits
        while row.time / self._bin_seconds >= self._max_bins:
            self._double_bins()

        # sums of a bin: faces, probabilities (K), faces with an intensity, intensities
        has_intensity = float(row.intensity is not None)
        values = np.array([1.0, *row.probabilities.values(), has_intensity, row.intensity or 0.0])
        bins = self._tracks.setdefault(row.track, {})
        index = int(row.time / self._bin_seconds)
        bins[index] = bins.get(index, 0) + values

        self._last_times[row.track] = row.time
        if len(self._tracks) > self._max_tracks:
            self._drop_track(row.time)

    def tracks(self) -> tuple[TimelineTrack, ...]:
        """Return the tracks so far, those with the most faces first."""
        numbers = sorted(self._tracks, key=lambda number: (-self._count_faces(number), number))
        return tuple(self._build_track(number) for number in numbers)

    def _build_track(self, number: int) -> TimelineTrack:
        bins = self._tracks[number]
        order = sorted(bins)
        sums = np.stack([bins[index] for index in order])

        # a bin without any intensity gets NaN
        with np.errstate(invalid="ignore"):
            intensities = sums[:, -1] / sums[:, -2]

        return TimelineTrack(
            number=number,
            times=(np.array(order) + 0.5) * self._bin_seconds,
            probabilities=sums[:, 1:-2] / sums[:, :1],
            intensities=intensities,
        )

    def _count_faces(self, number: int) -> float:
        return float(sum(values[0] for values in self._tracks[number].values()))

    def _double_bins(self) -> None:
        self._bin_seconds *= 2
        for number, bins in self._tracks.items():
            merged: dict[int, np.ndarray] = {}
            for index, values in bins.items():
                merged[index // 2] = merged.get(index // 2, 0) + values
            self._tracks[number] = merged

    def _drop_track(self, now: float) -> None:
        """Drop the track with the fewest faces: one that has ended if possible, not the newest."""
        newest = max(self._tracks)

        def rank(number: int) -> tuple[bool, float]:
            is_live = now - self._last_times[number] <= _ENDED_SECONDS
            return is_live, self._count_faces(number)

        number = min((number for number in self._tracks if number != newest), key=rank)
        del self._tracks[number], self._last_times[number]
