"""Who is who from frame to frame, and answers that do not flicker."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ke2nt.errors import ConfigError
from ke2nt.predict.detections import Box

__all__ = ["Tracker", "box_iou"]


def box_iou(first: Sequence[Box], second: Sequence[Box]) -> np.ndarray:
    """Intersection over union of every pair of boxes: (N, M) in [0, 1]."""
    a = np.asarray(first, np.float64).reshape(-1, 1, 4)
    b = np.asarray(second, np.float64).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = sides.clip(0).prod(axis=-1)
    areas = [(x[..., 2:] - x[..., :2]).prod(axis=-1) for x in (a, b)]
    return shared / np.maximum(areas[0] + areas[1] - shared, 1e-12)


@dataclass(slots=True)
class _Track:
    number: int
    box: Box
    time: float
    values: np.ndarray


class Tracker:
    """Greedy matching of boxes by overlap, and exponential smoothing along each track.

    A face joins the live track that its box overlaps most, best pairs first; otherwise it starts a
    new one. Values are smoothed by s ← s + (1 − exp(−Δt / τ)) (v − s), with Δt the time since the
    track was last seen, so that the result does not depend on the frame rate.

    Args:
        min_iou: Least overlap with the track's last box, in (0, 1].
        max_age: Seconds after which a track that was not seen has ended.
        smoothing: τ in seconds; 0 for none.

    Raises:
        ConfigError: A number is out of range.
    """

    def __init__(
        self, *, min_iou: float = 0.3, max_age: float = 1.0, smoothing: float = 0.5
    ) -> None:
        if not 0 < min_iou <= 1 or not 0 <= max_age < math.inf or not 0 <= smoothing < math.inf:
            raise ConfigError(
                "a number of the tracker is out of range",
                expected="min_iou in (0, 1], max_age and smoothing from 0",
                found=(min_iou, max_age, smoothing),
            )
        self._min_iou = min_iou
        self._max_age = max_age
        self._smoothing = smoothing
        self._tracks: list[_Track] = []
        self._started = 0

    def update(
        self, time: float, boxes: Sequence[Box], values: np.ndarray
    ) -> tuple[list[int], np.ndarray]:
        """Take in the faces of the next frame.

        Args:
            time: Seconds, not before the last call's.
            boxes: N boxes, in pixels.
            values: (N, V) numbers to smooth.

        Returns:
            The track number of each face, from 1, and the smoothed values (N, V).
        """
        self._tracks = [track for track in self._tracks if time - track.time <= self._max_age]
        chosen = self._match(boxes)
        for index, box in enumerate(boxes):
            track = chosen.get(index)
            if track is None:
                self._started += 1
                chosen[index] = _Track(self._started, box, time, values[index])
                self._tracks.append(chosen[index])
                continue
            track.values = track.values + self._gain(time - track.time) * (
                values[index] - track.values
            )
            track.box, track.time = box, time
        found = [chosen[index] for index in range(len(boxes))]
        smooth = np.stack([track.values for track in found]) if found else values
        return [track.number for track in found], smooth

    def _gain(self, seconds: float) -> float:
        return 1.0 if self._smoothing == 0 else -math.expm1(-max(seconds, 0) / self._smoothing)

    def _match(self, boxes: Sequence[Box]) -> dict[int, _Track]:
        overlap = box_iou(boxes, [track.box for track in self._tracks])
        matched: dict[int, _Track] = {}
        while overlap.size and overlap.max() >= self._min_iou:
            face, track = np.unravel_index(overlap.argmax(), overlap.shape)
            matched[int(face)] = self._tracks[track]
            overlap[face, :] = overlap[:, track] = -1
        return matched
