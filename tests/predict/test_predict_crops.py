"""Square crops, against padding the whole image first."""

import math

import numpy as np
import pytest
from PIL import Image

from ke2nt.data.images import decode
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import CheckpointError
from ke2nt.predict.crop import crop_face, crop_level, crop_square, tilt
from ke2nt.predict.detections import Detection
from ke2nt.predict.face_settings import FaceSettings
from ke2nt.predict.intensity import IntensityScale
from ke2nt.predict.recognizer import Recognizer


def padded_crop(pixels, box, margin, pad=200):
    """Oracle: repeat the border far out, then cut."""
    wide = np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    side = max(1, round(max(box[2] - box[0], box[3] - box[1]) * (1 + margin)))
    left = round((box[0] + box[2] - side) / 2) + pad
    top = round((box[1] + box[3] - side) / 2) + pad
    return wide[top : top + side, left : left + side]


@pytest.mark.parametrize("margin", [-0.2, 0.0, 0.4])
@pytest.mark.parametrize(
    "box", [(10, 10, 30, 40), (-20, -5, 15, 30), (40, 20, 90, 60), (-30, -30, 120, 100)]
)
def test_crop_equals_a_slice_of_the_padded_image(box, margin):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    crop = crop_square(pixels, tuple(map(float, box)), margin)
    assert np.array_equal(crop, padded_crop(pixels, box, margin))
    assert crop.shape[0] == crop.shape[1]


def test_empty_box_gives_one_pixel():
    assert crop_square(np.zeros((9, 9, 3), np.uint8), (4.0, 4.0, 4.0, 4.0), 0.0).shape == (1, 1, 3)


def test_crops_equal_the_preprocessing_of_evaluation():
    pixels = np.random.default_rng(1).integers(0, 256, (80, 60, 3), np.uint8)
    pre = Preprocessing(image_size=24, interpolation="bilinear")
    whole = crop_face(pixels, None, pre, FaceSettings(margin=0.5))
    assert np.array_equal(whole, decode(pixels, size=24, interpolation="bilinear"))
    face = crop_face(pixels, (10.0, 10.0, 40.0, 40.0), pre, FaceSettings())
    assert np.array_equal(face, decode(pixels[10:40, 10:40], size=24, interpolation="bilinear"))


def test_sharp_crops_are_reduced_to_the_training_resolution():
    pixels = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    pre = Preprocessing(image_size=32)
    blurred = crop_face(pixels, None, pre, FaceSettings(face_pixels=8))
    assert np.array_equal(blurred, decode(decode(pixels, size=8), size=32))
    small = pixels[:8, :8]
    assert np.array_equal(
        crop_face(small, None, pre, FaceSettings(face_pixels=16)),
        crop_face(small, None, pre, FaceSettings()),
    )


def test_settings_come_from_the_card_and_survive_saving(model, tmp_path):
    from ke2nt.models.ke2nt import KE2NT

    assert FaceSettings.from_model(model) == FaceSettings(
        margin=0.0, face_pixels=None, intensity=None
    )
    scale = IntensityScale({"happiness": 0.25}, {"happiness": 2.0})
    use = FaceSettings(margin=0.25, face_pixels=48, intensity=scale)
    model.card["predict"] = {**use.to_dict(), "a later field": 1}
    model.save_pretrained(tmp_path / "m")
    assert FaceSettings.from_model(KE2NT.from_pretrained(tmp_path / "m")) == use


@pytest.mark.parametrize("bad", [{"margin": -1.0}, {"face_pixels": 1}])
def test_settings_out_of_range_are_errors(bad):
    with pytest.raises(CheckpointError, match=next(iter(bad))):
        FaceSettings(**bad)


def test_tilted_faces_are_turned_until_their_eyes_are_level(portraits):
    face = portraits[0]
    photo = make_scene_around(face)
    eyes = [(50.0, 60.0), (78.0, 60.0)]
    box = (32.0, 32.0, 96.0, 96.0)

    def turned(points, degrees):
        """Points turned clockwise around the center of the photo."""
        angle = math.radians(degrees)
        moves = [(x - 64, y - 64) for x, y in points]
        return tuple(
            (
                64 + x * math.cos(angle) - y * math.sin(angle),
                64 + x * math.sin(angle) + y * math.cos(angle),
            )
            for x, y in moves
        )

    level = Detection(box, 0.9, tuple(eyes))
    assert tilt(level) == 0
    assert np.array_equal(crop_level(photo, level, 0.0), crop_square(photo, box, 0.0))
    assert tilt(Detection(box, 0.9)) == 0

    # clockwise in Pillow is a negative angle; either eye may come first
    tilted = np.asarray(Image.fromarray(photo).rotate(-25, Image.Resampling.BICUBIC))
    for order in (1, -1):
        detection = Detection(box, 0.9, turned(eyes, 25)[::order])
        assert tilt(detection) == pytest.approx(25)
        found = crop_level(tilted, detection, 0.0).astype(float)
        error = np.abs(found - crop_square(photo, box, 0.0)).mean()
        assert error < 0.5 * np.abs(crop_square(tilted, box, 0.0) - found).mean()
    for degrees in (1, 14, -14):
        assert tilt(Detection(box, 0.9, turned(eyes, degrees))) == 0
    assert tilt(Detection(box, 0.9, turned(eyes, -16))) == pytest.approx(-16)
    assert tilt(Detection(box, 0.9, turned(eyes, 80))) == 0


def test_align_is_an_option_of_recognizer_and_model(model, portraits):
    class Tilted:
        def detect(self, image):
            return [Detection((8.0, 8.0, 56.0, 56.0), 0.9, ((20.0, 20.0), (40.0, 35.0)))]

    def confidences(**options):
        recognizer = Recognizer(model, detector=Tilted(), device="cpu", **options)
        return [row.confidence for row in recognizer.predict(portraits[:2])]

    plain, level = confidences(align=False), confidences(align=True)
    assert plain != level
    assert confidences() == plain
    model.card = {**model.card, "predict": FaceSettings(align=True).to_dict()}
    assert confidences() == level


def make_scene_around(face):
    """A photo of 128 px with a face of 64 px in its middle."""
    photo = np.full((128, 128, 3), 127, np.uint8)
    photo[32:96, 32:96] = face
    return photo
