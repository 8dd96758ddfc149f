"""Faces matched from frame to frame, and their scores smoothed over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ke2nt.errors import ConfigError
from ke2nt.predict.detections import Box

__all__ = ["Tracker", "box_iou", "match_boxes"]


def box_iou(first: Sequence[Box], second: Sequence[Box]) -> np.ndarray:
    """Compute the intersection over union of every pair of boxes: (N, M) in [0, 1]."""
    # (N, 1, 4) and (1, M, 4)
    a = np.asarray(first, np.float64).reshape(-1, 1, 4)
    b = np.asarray(second, np.float64).reshape(1, -1, 4)

    # (N, M, 2) width and height of the intersection; negative if the boxes do not touch
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = sides.clip(0).prod(axis=-1)
    area_a, area_b = ((box[..., 2:] - box[..., :2]).prod(axis=-1) for box in (a, b))
    return intersection / np.maximum(area_a + area_b - intersection, 1e-12)


def match_boxes(first: Sequence[Box], second: Sequence[Box], *, min_iou: float) -> dict[int, int]:
    """Match boxes greedily, pairs of highest overlap first: index in `first` → in `second`.

    Args:
        first: Boxes in pixels.
        second: The boxes to match them with, each at most once.
        min_iou: Minimum intersection over union of a pair, in (0, 1].
    """
    overlap = box_iou(first, second)
    matches: dict[int, int] = {}
    while overlap.size and overlap.max() >= min_iou:
        one, other = np.unravel_index(overlap.argmax(), overlap.shape)
        matches[int(one)] = int(other)

        # neither is matched again
        overlap[one, :] = overlap[:, other] = -1
    return matches


@dataclass(slots=True)
class _Track:
    """A person: number, last box, time of the last box in seconds, smoothed values (V,)."""

    number: int
    box: Box
    time: float
    values: np.ndarray


class Tracker:
    """Greedy matching of boxes by overlap, and exponential smoothing along each track.

    A face joins the live track that its box overlaps most, best pairs first; otherwise it starts a
    new one. Values are smoothed by s ← s + (1 − exp(−Δt / τ)) (v − s), with Δt the time since the
    last face of the track, so that the result does not depend on the frame rate.

    Args:
        min_iou: Minimum overlap with the last box of the track, in (0, 1].
        max_age: Seconds without a face after which a track ends.
        smoothing: τ in seconds; 0 for no smoothing.

    Raises:
        ConfigError: A number is out of range.
    """

    def __init__(
        self, *, min_iou: float = 0.3, max_age: float = 1.0, smoothing: float = 0.5
    ) -> None:
        if not 0 < min_iou <= 1 or not 0 <= max_age < math.inf or not 0 <= smoothing < math.inf:
            raise ConfigError(
                "an option of the tracker is out of range",
                expected="min_iou in (0, 1], max_age and smoothing 0 or more",
                found=f"min_iou {min_iou}, max_age {max_age}, smoothing {smoothing}",
            )
        self._min_iou = min_iou
        self._max_age = max_age
        self._smoothing = smoothing
        self._live_tracks: list[_Track] = []
        self._num_started = 0

    def update(
        self, time: float, boxes: Sequence[Box], values: np.ndarray
    ) -> tuple[list[int], np.ndarray]:
        """Add the faces of the next frame.

        Args:
            time: Seconds, not before the time of the previous call.
            boxes: N boxes, in pixels.
            values: (N, V) numbers to smooth.

        Returns:
            The track number of each face, from 1, and the smoothed values (N, V).
        """
        # a person who comes back later gets a new number
        self._live_tracks = [
            track for track in self._live_tracks if time - track.time <= self._max_age
        ]

        # every face ends up in a track, an old or a new one
        tracks: list[_Track] = []
        matches = self._match(boxes)
        for index, box in enumerate(boxes):
            track = matches.get(index)
            if track is None:
                track = self._start_track(box, time, values[index])
            else:
                self._continue_track(track, box, time, values[index])
            tracks.append(track)

        smoothed = np.stack([track.values for track in tracks]) if tracks else values
        return [track.number for track in tracks], smoothed

    def forget(self) -> None:
        """Start new tracks from now on."""
        self._live_tracks = []

    def _match(self, boxes: Sequence[Box]) -> dict[int, _Track]:
        """Index of a box → its track."""
        known = [track.box for track in self._live_tracks]
        matches = match_boxes(boxes, known, min_iou=self._min_iou)
        return {face: self._live_tracks[track] for face, track in matches.items()}

    def _start_track(self, box: Box, time: float, values: np.ndarray) -> _Track:
        self._num_started += 1
        track = _Track(self._num_started, box, time, values)
        self._live_tracks.append(track)
        return track

    def _continue_track(self, track: _Track, box: Box, time: float, values: np.ndarray) -> None:
        gain = self._compute_gain(time - track.time)
        track.values = track.values + gain * (values - track.values)
        track.box, track.time = box, time

    def _compute_gain(self, seconds: float) -> float:
        """Weight of new values after some seconds: 1 − exp(−Δt / τ)."""
        if self._smoothing == 0:
            return 1.0
        return -math.expm1(-max(seconds, 0) / self._smoothing)
