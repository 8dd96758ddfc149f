"""Tracks: overlap, identity and smoothing."""

import math

import numpy as np
import pytest

from ke2nt.errors import ConfigError
from ke2nt.predict.tracking import Tracker, box_iou


def test_iou_by_counting_pixels():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 20, (12, 2))
    boxes = [
        (*map(float, c), *map(float, c + s))
        for c, s in zip(corners, rng.integers(1, 15, (12, 2)), strict=True)
    ]

    def mask(box):
        grid = np.zeros((40, 40), bool)
        x0, y0, x1, y1 = map(int, box)
        grid[y0:y1, x0:x1] = True
        return grid

    # against counted pixels
    found = box_iou(boxes[:5], boxes[5:])
    assert found.shape == (5, 7)
    for i, a in enumerate(boxes[:5]):
        for j, b in enumerate(boxes[5:]):
            expected = (mask(a) & mask(b)).sum() / (mask(a) | mask(b)).sum()
            assert found[i, j] == pytest.approx(expected)
    assert box_iou([], boxes).shape == (0, 12)


def moved(box, dx):
    return (box[0] + dx, box[1], box[2] + dx, box[3])


def numbers(tracker, time, *boxes):
    return tracker.update(time, list(boxes), np.zeros((len(boxes), 1)))[0]


def test_tracks_do_not_depend_on_the_order_of_faces():
    a, b = (0.0, 0.0, 10.0, 10.0), (50.0, 0.0, 60.0, 10.0)
    tracker = Tracker()
    assert numbers(tracker, 0.0, a, b) == [1, 2]
    assert numbers(tracker, 0.1, moved(b, 2), moved(a, 2)) == [2, 1]
    assert numbers(tracker, 0.2, moved(b, 4)) == [2]
    assert numbers(tracker, 0.3, moved(a, 3), moved(b, 6), (90.0, 0.0, 99.0, 9.0)) == [1, 2, 3]


def test_best_overlap_wins():
    tracker = Tracker(min_iou=0.1)
    numbers(tracker, 0.0, (0.0, 0.0, 10.0, 10.0))
    assert numbers(tracker, 0.1, (5.0, 0.0, 15.0, 10.0), (1.0, 0.0, 11.0, 10.0)) == [2, 1]


def test_track_ends_after_max_age_but_survives_an_empty_frame():
    box = (0.0, 0.0, 10.0, 10.0)
    tracker = Tracker(max_age=1.0)
    assert numbers(tracker, 0.0, box) == [1]
    assert numbers(tracker, 0.5) == []
    assert numbers(tracker, 1.0, box) == [1]
    assert numbers(tracker, 2.1, box) == [2]


def test_forgotten_tracks_are_not_continued():
    tracker, box = Tracker(), (0.0, 0.0, 10.0, 10.0)
    tracker.update(0.0, [box], np.zeros((1, 3)))
    tracker.forget()
    found, values = tracker.update(0.1, [box], np.ones((1, 2)))
    assert found == [2]
    assert values.tolist() == [[1, 1]]


def test_smoothing_does_not_depend_on_the_frame_rate():
    box, tau = (0.0, 0.0, 10.0, 10.0), 0.4
    for rate in (5, 30):
        tracker = Tracker(smoothing=tau)
        tracker.update(0.0, [box], np.array([[0.0]]))
        for frame in range(1, 2 * rate + 1):
            _, value = tracker.update(frame / rate, [box], np.array([[1.0]]))
        assert value[0, 0] == pytest.approx(1 - math.exp(-2.0 / tau))


def test_smoothed_probabilities_sum_to_one_and_zero_means_raw():
    rng = np.random.default_rng(0)
    boxes = [(0.0, 0.0, 10.0, 10.0), (40.0, 0.0, 50.0, 10.0)]
    smooth, raw = Tracker(smoothing=0.3), Tracker(smoothing=0)
    for time in np.arange(0, 2, 0.1):
        values = rng.dirichlet(np.ones(4), size=2)
        _, softened = smooth.update(float(time), boxes, values)
        assert softened.sum(axis=1) == pytest.approx([1, 1])
        assert raw.update(float(time), boxes, values)[1] == pytest.approx(values)
    assert not np.allclose(softened, values)


@pytest.mark.parametrize("bad", [{"min_iou": 0}, {"max_age": -1}, {"smoothing": math.inf}])
def test_options_out_of_range_are_errors(bad):
    with pytest.raises(ConfigError, match="tracker"):
        Tracker(**bad)
