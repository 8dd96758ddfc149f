"""Dark, small and blurred faces are flagged, and their predictions withheld."""

import numpy as np
import pytest

from ke2nt.data.corruption_filters import FILTERS
from ke2nt.errors import ConfigError
from ke2nt.predict.detections import Detection
from ke2nt.predict.pil_images import resize
from ke2nt.predict.quality import MIN_BRIGHTNESS, MIN_SHARPNESS, MIN_SIDE, measure_quality
from ke2nt.predict.recognizer import Recognizer


def degrade(face, kind, strength):
    changed = FILTERS[kind](face / np.float32(255), strength, np.random.default_rng(0))
    return np.rint(255 * changed.clip(0, 1)).astype(np.uint8)


def test_quality_by_hand():
    # a checkerboard of 48 px: the most detail there can be
    board = np.indices((48, 48)).sum(axis=0) % 2
    pixels = np.repeat(board[..., None] * 200, 3, axis=2).astype(np.uint8)
    quality = measure_quality(pixels, 31.5)
    assert quality.side == 31.5
    assert quality.brightness == pytest.approx(200 / 255)
    assert quality.sharpness == pytest.approx(1, abs=0.02)
    assert quality.problems == ()

    # a slope has none, and a flat image has nothing that could be sharp
    slope = np.repeat(np.linspace(0, 240, 48)[:, None, None], 48, axis=1).repeat(3, axis=2)
    assert measure_quality(slope.astype(np.uint8), 48).sharpness < 0.02
    assert measure_quality(np.full((48, 48, 3), 128, np.uint8), 48).sharpness == 0


def test_size_does_not_change_brightness_and_sharpness(portraits):
    face = resize(portraits[0], 48, 48)
    small, large = measure_quality(face, 48), measure_quality(face.repeat(5, 0).repeat(5, 1), 240)
    assert large.brightness == pytest.approx(small.brightness, abs=0.02)
    assert large.sharpness == pytest.approx(small.sharpness, rel=0.2)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda face: face, None),
        (lambda face: degrade(face, "low_light", 4), "dark"),
        (lambda face: degrade(face, "gaussian_blur", 4), "blurred"),
        (lambda face: resize(face, 16, 16), "small"),
        (lambda face: resize(degrade(face, "low_light", 5), 12, 12), "dark, small"),
    ],
)
def test_poor_faces_are_withheld(
    recognizer, model, wall_detector, portraits, scene, change, reason
):
    face = change(portraits[1])
    photo = scene(100, 100, (face, 10, 10))
    (row,) = recognizer.predict(photo)
    if reason is None:
        assert (row.status, row.reason) == ("ok", None)
        return

    # what the model would have said stays in the row
    assert (row.status, row.label, row.unscaled_intensity) == ("poor_quality", None, None)
    assert set(reason.split(", ")) <= set(row.reason.split(", "))
    assert row.raw_label == max(row.probabilities, key=row.probabilities.get)
    assert recognizer(photo)[0].status == "ok"  # there is a face

    any_quality = Recognizer(model, detector=wall_detector, device="cpu", check_quality=False)
    (unchecked,) = any_quality.predict(photo)
    assert (unchecked.status, unchecked.reason) == ("ok", None)
    assert unchecked.probabilities == row.probabilities


def test_limits_are_in_range():
    assert 0 < MIN_BRIGHTNESS < 1
    assert 0 < MIN_SHARPNESS < 1
    assert MIN_SIDE == 20


def test_detections_with_a_low_score_are_left_out(model, portraits, scene):
    class Unsure:
        def detect(self, image):
            return [Detection((10, 10, 74, 74), 0.3), Detection((110, 10, 174, 74), 0.8)]

    photo = scene(200, 100, (portraits[0], 10, 10), (portraits[1], 110, 10))

    def scores(minimum):
        recognizer = Recognizer(model, detector=Unsure(), device="cpu", min_face_score=minimum)
        return [row.detector_score for row in recognizer.predict(photo)]

    assert scores(0.0) == [0.3, 0.8]
    assert scores(0.8) == [0.8]
    assert scores(0.9) == [None]
    with pytest.raises(ConfigError, match="min_face_score"):
        Recognizer(model, detector=None, device="cpu", min_face_score=1.5)
