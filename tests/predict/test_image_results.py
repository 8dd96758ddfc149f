"""Calling a recognizer: one result per image, which holds its faces."""

import json

import numpy as np
import pytest

from ke2nt.errors import ConfigError, DataError
from ke2nt.predict.image_result import ImageResult, ImageResults
from ke2nt.predict.recognizer import Recognizer
from ke2nt.predict.result import FaceResult, Results


@pytest.fixture
def images(portraits, scene, save, tmp_path):
    """Two faces, no face, a broken file, one face in a file."""
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    two = scene(400, 100, (portraits[0], 300, 10), (portraits[1], 20, 30))
    one = save("one.png", scene(100, 100, (portraits[2], 10, 10)))
    return [two, scene(20, 20), tmp_path / "bad.jpg", one]


def test_one_result_per_image_with_the_faces_of_predict(recognizer, images):
    results = recognizer(images)
    assert [result.status for result in results] == ["ok", "no_face", "unreadable", "ok"]
    assert [len(result.faces) for result in results] == [2, 0, 0, 1]
    assert results[0].source == "image 0"
    assert results[2].reason
    assert results[0].reason is None

    rows = recognizer.predict(images)
    assert tuple(row for result in results for row in result.to_rows()) == rows
    assert results[0].faces == rows[:2]


def test_a_single_image_gives_one_result(recognizer, images):
    for image in (images[0], images[3], str(images[3])):
        (result,) = recognizer(image)
        assert result.status == "ok"
    assert recognizer([]) == ()
    with pytest.raises(DataError, match="not an image"):
        recognizer(3.5)


def test_data_frame_equals_that_of_predict(recognizer, images):
    pandas = pytest.importorskip("pandas")
    table = recognizer(images).to_dataframe()
    pandas.testing.assert_frame_equal(table, recognizer.predict(images).to_dataframe())
    assert list(table["status"]) == ["ok", "ok", "no_face", "unreadable", "ok"]


def test_to_dict_is_plain_json(recognizer, images):
    results = recognizer(images)
    value = results.to_dict()
    assert json.loads(json.dumps(value)) == value
    assert value["classes"] == list(recognizer.classes)
    assert [image["status"] for image in value["images"]] == [r.status for r in results]
    assert value["images"][0]["faces"] == [face.to_dict() for face in results[0].faces]


def test_printing_is_short():
    faces = (
        FaceResult("a.jpg", "ok", label="happiness", confidence=0.934),
        FaceResult("a.jpg", "low_confidence", confidence=0.4),
    )
    result = ImageResult("a.jpg", "ok", faces)
    dark = FaceResult("d.jpg", "poor_quality", confidence=0.5, reason="dark, small")
    assert repr(ImageResult("d.jpg", "ok", (dark,))) == (
        "ImageResult('d.jpg', 1 face: too dark and small 0.50)"
    )
    assert repr(result) == "ImageResult('a.jpg', 2 faces: happiness 0.93, not sure 0.40)"

    # without faces
    assert repr(dark).startswith(f"FaceResult({dark.source}: too ")
    assert repr(ImageResult("b.jpg", "no_face")) == "ImageResult('b.jpg', no face)"
    bad = ImageResult("c.jpg", "unreadable", reason="an empty file")
    assert repr(bad) == "ImageResult('c.jpg', unreadable: an empty file)"

    # one line for each image
    assert repr(ImageResults([result, bad], ("happiness",))).splitlines() == [
        "ImageResults([",
        "  ImageResult('a.jpg', 2 faces: happiness 0.93, not sure 0.40),",
        "  ImageResult('c.jpg', unreadable: an empty file),",
        "])",
    ]
    assert repr(ImageResults([], ())) == "ImageResults([])"


def test_long_lists_are_cut():
    results = ImageResults([ImageResult(f"{i}.jpg", "no_face") for i in range(60)], ())
    lines = repr(results).splitlines()
    assert len(lines) == 53
    assert lines[51] == "  … 10 more"
    assert "<p>… 10 more rows</p>" in results._repr_html_()


def test_rows_print_short(recognizer, images):
    lines = repr(recognizer.predict(images)).splitlines()
    assert len(lines) == 7
    assert lines[1].startswith("  image 0: ")
    assert lines[1].endswith(" at 20, 30 to 84, 94,")
    assert lines[3] == "  image 1: no face,"
    assert "bad.jpg: unreadable: content that is not" in lines[4]
    assert repr(recognizer.predict([])) == "Results([])"


def test_html_is_escaped():
    row = FaceResult("<b>.jpg", "ok", box=(1, 2, 3, 4), label="<i>", confidence=0.5, intensity=1.25)
    for value in (ImageResult("<b>.jpg", "ok", (row,)), Results([row], ("<i>",))):
        text = value._repr_html_()
        assert "<td>&lt;b&gt;.jpg</td><td>1, 2 to 3, 4</td><td>&lt;i&gt;</td><td>50 %</td>" in text
        assert "<td>1.25</td>" in text
    bad = ImageResult("c.jpg", "unreadable", reason="an empty file")
    assert "unreadable: an empty file" in bad._repr_html_()


def test_plots_are_pictures(recognizer, images, tmp_path):
    *_, one = recognizer(images)
    plot = one.plot()
    assert plot.size[0] >= 300  # enlarged, with a label
    assert (np.asarray(one.plot(images[3])) == np.asarray(plot)).all()

    # a result of an array does not hold it
    first = recognizer(images)[0]
    with pytest.raises(ConfigError, match="does not hold the image"):
        first.plot()
    assert first.plot(images[0]).size[0] >= 400
    sheet = recognizer([images[3], images[2], images[3]]).plot(columns=2)
    assert sheet.size == (640, 320)


def test_withheld_predictions_and_custom_flags_are_kept(model, wall_detector, portraits, scene):
    strict = Recognizer(model, detector=wall_detector, min_confidence=1.0, device="cpu")
    (result,) = strict(scene(100, 100, (portraits[0], 10, 10)))
    assert (result.status, result.faces[0].status) == ("ok", "low_confidence")

    empty = (FaceResult("a.jpg", "no_face", unvalidated=True),)
    assert ImageResult.from_rows(empty).unvalidated
    assert ImageResult.from_rows(empty).to_rows() == empty


def test_results_can_be_sliced_and_compared(recognizer, portraits, scene):
    image = scene(100, 100, (portraits[0], 10, 10))
    results = recognizer(np.stack([image, image]))
    assert len(results) == 2
    assert results[0].faces[0].box == results[1].faces[0].box
    assert recognizer(image) == recognizer(image)
    assert recognizer(image) != results
