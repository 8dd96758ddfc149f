from __future__ import annotations

import numpy as np
import pytest
import torch

from ke2nt.app.face_embedder import FaceEmbedder
from ke2nt.app.face_match import match_face
from ke2nt.app.vocabulary import Vocabulary
from ke2nt.data.images import decode
from ke2nt.errors import ImageReadError
from ke2nt.explain.occlusion import cover_regions
from ke2nt.models.calibration import Calibration
from ke2nt.predict.classify import FaceClassifier
from ke2nt.predict.detections import Detection


class Boxes:
    def __init__(self, *boxes):
        self.boxes = boxes

    def detect(self, image):
        return [Detection(box, 0.9) for box in self.boxes]


def embed(model, crop):
    (face,), _ = FaceEmbedder(model, detector=None, device="cpu").embed(crop, find=True)
    return face


@pytest.mark.parametrize("calibrated", [False, True])
def test_trained_classes_match_the_recognizer(model, crop, tmp_path, calibrated):
    if calibrated:
        model.calibration = Calibration(temperature=2.5, min_confidence=1.0)
    match = match_face(model, embed(model, crop), Vocabulary(model, tmp_path).trained)
    classifier = FaceClassifier(model, device=torch.device("cpu"), batch_size=8)
    expected = classifier.classify([decode(crop, size=32)])
    np.testing.assert_allclose(match.probabilities, expected.probabilities[0], atol=1e-5)
    np.testing.assert_allclose(match.intensities, expected.intensities[0], atol=1e-4)
    assert match.best == expected.probabilities[0].argmax()
    assert match.confident is not calibrated


def test_custom_classes_match_a_model_with_those_classes(model, crop, tmp_path):
    model.calibration = Calibration(temperature=2.5, min_confidence=1.0)
    words = Vocabulary(model, tmp_path).parse("bored\njoy: happy, glad\nrage", "a {class} face")
    match = match_face(model, embed(model, crop), words)
    model.set_bank(words.bank)
    classifier = FaceClassifier(model, device=torch.device("cpu"), batch_size=8)
    expected = classifier.classify([decode(crop, size=32)])
    assert match.classes == ("bored", "joy", "rage")
    np.testing.assert_allclose(match.probabilities, expected.probabilities[0], atol=1e-5)
    np.testing.assert_allclose(match.intensities, expected.intensities[0], atol=1e-4)
    assert match.confident


def test_effect_is_the_score_lost_by_covering(model, crop, tmp_path):
    face = embed(model, crop)
    words = Vocabulary(model, tmp_path).trained
    match = match_face(model, face, words, "fear")
    k = words.classes.index("fear")
    assert match.target == k

    def odds(pixels):
        batch = torch.from_numpy(pixels[None].copy()).permute(0, 3, 1, 2)
        with torch.inference_mode():
            p = model(model.preprocessing.normalize(batch)).logits.double().softmax(dim=1)[0, k]
        return float((p / (1 - p)).log())

    covered = cover_regions(face.crop)
    for index in (0, 24, 33):
        lost = odds(face.crop) - odds(covered[index])
        assert match.effect.flatten()[index].item() == pytest.approx(lost, abs=1e-4)


def test_target_defaults_to_the_best_class(model, crop, tmp_path):
    face, words = embed(model, crop), Vocabulary(model, tmp_path).trained
    for target in (None, "gone"):
        match = match_face(model, face, words, target)
        assert match.target == match.best


def test_linear_head_has_no_intensity(linear, crop, tmp_path):
    match = match_face(linear, embed(linear, crop), Vocabulary(linear, tmp_path).trained)
    assert match.intensities is None
    assert sum(match.probabilities) == pytest.approx(1)


def test_largest_faces_from_left_to_right(model, crop, monkeypatch):
    monkeypatch.setattr("ke2nt.app.face_embedder.MAX_FACES", 4)
    sides = [3, 9, 5, 7, 4, 8]
    boxes = [(4.0 * i, 0.0, 4.0 * i + side, float(side)) for i, side in enumerate(sides)]
    embedder = FaceEmbedder(model, detector=Boxes(*boxes), device="cpu")
    faces, left_out = embedder.embed(crop, find=True)
    assert (len(faces), left_out) == (4, 2)
    expected = [decode(crop[:s, 4 * i : 4 * i + s], size=32) for i, s in enumerate(sides) if s > 4]
    assert [face.box for face in faces] == [
        box for box, side in zip(boxes, sides, strict=True) if side > 4
    ]
    inside = [i for i, s in enumerate(s for s in sides if s > 4) if i != 3]
    for i in inside:
        np.testing.assert_array_equal(faces[i].crop, expected[i])
    assert embedder.embed(crop, find=False)[1] == 0


def test_no_face_gives_an_empty_list(model, crop):
    assert FaceEmbedder(model, detector=Boxes(), device="cpu").embed(crop, find=True) == ([], 0)


def test_unreadable_image_is_an_error(model, tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("no image")
    with pytest.raises(ImageReadError):
        FaceEmbedder(model, detector=None, device="cpu").embed(path, find=False)
