from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml

from ke2nt.app.backend import AppBackend
from ke2nt.app.fragments import STYLE
from ke2nt.app.prompt_trials import PromptTrials
from ke2nt.app.vocabulary import Vocabulary
from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation.embed_split import embed_split
from ke2nt.plots.figure import encode_png
from ke2nt.predict.detections import Detection
from ke2nt.promptlab.ranking import rank

TEMPLATE = "a photo of a {class} face."


class Page(HTMLParser):
    """Tags and text of some HTML."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def data():
    return get_reader("drawn", count=120, size=32).load("test")


@pytest.fixture
def app(model, data, tmp_path):
    model.save_pretrained(tmp_path / "model")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    vocabulary = Vocabulary(model, scratch)
    trials = PromptTrials(
        str(tmp_path / "model"),
        lambda: data,
        title="drawn faces",
        encoder=lambda: vocabulary.encoder,
        folder=scratch,
    )
    return AppBackend("m", model, detector=None, device="cpu", vocabulary=vocabulary, trials=trials)


@pytest.fixture
def photo(tmp_path, crop):
    path = tmp_path / "upload.png"
    path.write_bytes(encode_png(crop))
    return str(path)


def test_words_change_the_bars(app, photo):
    image = app.read_image(photo, find=False)
    own = app.show_faces(image, app.vocabulary.default_words, TEMPLATE, None)
    assert own.classes == app.model.classes
    page = Page(own.html)
    assert page.tags.count("img") == 2
    assert page.tags.count("tr") == 1 + 8
    assert "never tested" not in page.text

    # custom words
    new = app.show_faces(image, "bored\nin pain", TEMPLATE, "bored")
    page = Page(new.html)
    assert new.classes == ("bored", "in pain")
    assert page.tags.count("tr") == 1 + 2
    assert "never tested" in page.text
    assert "“bored”" in page.text
    shares = [float(x) for x in re.findall(r"width:([\d.]+)%", new.html)]
    assert sum(shares) == pytest.approx(100, abs=0.02)


def test_unit_of_the_intensity_is_shown(app, photo):
    image = app.read_image(photo, find=False)
    words = ("bored\nin pain", TEMPLATE, None)
    own = (app.vocabulary.default_words, app.vocabulary.default_templates, None)
    assert "the model has no calibrated scale" in app.show_faces(image, *own).html
    assert "custom words have no calibrated scale" in app.show_faces(image, *words).html

    # the scale of a model does not hold for other words
    scale = {"zero": {"happiness": 0.0}, "unit": {"happiness": 1.0}}
    app.model.card["predict"] = {"intensity": scale}
    assert "0 is neutral, 1 typical" in app.show_faces(image, *own).html
    assert "custom words have no calibrated scale" in app.show_faces(image, *words).html


def test_problems_become_notes(app, photo, tmp_path):
    assert "camera" in Page(app.show_faces(None, "a, b", TEMPLATE, None).html).text
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG nothing")
    page = Page(app.show_faces(app.read_image(str(bad), find=False), "a, b", TEMPLATE, None).html)
    assert "This file cannot be read as an image" in page.text
    assert page.tags == ["p"]  # one sentence
    assert str(tmp_path) not in page.text
    wrong = app.show_faces(app.read_image(photo, find=False), "a, b", "no placeholder", None)
    assert 'role="alert"' in wrong.html
    assert "{class}" in wrong.html
    assert app.read_image(None, find=True) is None


def test_one_class_alone_is_refused(app, photo):
    image = app.read_image(photo, find=False)
    page = Page(app.show_faces(image, "bored", TEMPLATE, None).html)
    assert "two or more classes" in page.text
    assert "img" not in page.tags
    assert app.to_yaml("bored", TEMPLATE).startswith("# there are too few words")


class Grid:
    """Finds fourteen faces in two rows, the last one beyond the border."""

    def detect(self, image):
        width = image.shape[1]
        step, side = width / 7, width / 8
        return [
            Detection(
                (step * i, 5.0 + row * side, step * i + side + row, 5.0 + (row + 1) * side), 0.9
            )
            for i in range(7)
            for row in range(2)
        ]


def test_all_faces_up_to_a_number_have_boxes_on_the_photo(app, tmp_path, monkeypatch):
    path = tmp_path / "group.png"
    pixels = np.random.default_rng(0).integers(0, 256, (120, 1400, 3), dtype=np.uint8)
    path.write_bytes(encode_png(pixels))
    app._embedder.detector = Grid()
    image = app.read_image(str(path), find=True)
    assert (len(image.faces), image.num_hidden) == (12, 2)
    assert image.photo.count("<span") == 12
    assert "<b>12</b>" in image.photo
    for left, width in re.findall(r"left:([\d.]+)%.*?width:([\d.]+)%", image.photo):
        assert 0 <= float(left) <= 100 >= float(left) + float(width) - 0.02

    page = Page(app.show_faces(image, app.vocabulary.default_words, TEMPLATE, None).html)
    assert "face 12 of 14" in page.text
    assert "The 12 largest faces are shown; 2 smaller ones are not." in page.text

    # the whole image as one face has no box
    assert app.read_image(str(path), find=False).photo == ""


def test_dark_faces_are_named(app, tmp_path):
    path = tmp_path / "dark.png"
    path.write_bytes(encode_png(np.random.default_rng(0).integers(0, 40, (64, 64, 3), np.uint8)))
    image = app.read_image(str(path), find=False)
    page = Page(app.show_faces(image, app.vocabulary.default_words, TEMPLATE, None).html)
    assert "too dark" in page.text


def test_style_sheet_exists():
    assert ".ke-face" in STYLE.read_text()


def test_typed_text_is_escaped(app, photo):
    image = app.read_image(photo, find=False)
    evil = "<script>alert(1)</script>"
    html = app.show_faces(image, f"{evil}\njoy", TEMPLATE, evil).html
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 3
    assert "<b>" not in app.compare([], "templates: [<b>]")


def test_prompt_sets_are_scored_as_in_the_prompt_lab(app, data, tmp_path):
    trial = app.trials.run(["simple", "paper"], bootstrap=50)
    images = embed_split(f"run:{tmp_path / 'model'}", data)
    ranking = rank(images, ["simple", "paper"], bootstrap=50)
    expected = {e.text: e.metrics for e in ranking.entries_of_kind("set")}
    assert {s.name: s.metrics for s in trial.scores} == expected
    assert trial.scores[0].metrics.uar >= trial.scores[1].metrics.uar
    assert trial.images == len(data)
    page = Page(app.compare(["simple", "paper"], ""))
    assert page.tags.count("figure") == 2
    assert page.tags.count("table") == 3
    assert "WAR" in page.text
    assert "UAR" in page.text


def test_custom_prompt_set(app):
    text = app.to_yaml(app.vocabulary.default_words, TEMPLATE)
    assert yaml.safe_load(text)["classes"]["happiness"] == ["happy"]
    page = Page(app.compare(["simple"], text))
    assert "custom" in page.text
    own, shipped = app.trials.run(["simple"], text, bootstrap=0).scores
    assert own.metrics.recall == shipped.metrics.recall


TEMPLATES, WORDS = ([f"'{i} {{class}}'" for i in range(50)], [f"word{i}" for i in range(50)])
MANY = f"{{name: many, templates: [{', '.join(TEMPLATES)}], classes: {{anger: {WORDS}}}}}"


@pytest.mark.parametrize(
    ("names", "text", "word"),
    [
        ([], "  ", "at least one"),
        (["/etc/passwd"], "", "no such shipped"),
        ([], "classes: [", "the custom set"),
        ([], "templates: [a face]\nclasses: {neutral: [calm]}", "{class}"),
        ([], "a: *x", "the custom set"),
        ([], "learned: {vectors: own.safetensors}", "a learned prompt set cannot be pasted"),
        ([], "#" * 30_000, "too long"),
        ([], MANY, "too many prompts"),
        ([], 'templates: ["a {class}"]\nclasses: {bored: [bored]}', "share"),
    ],
)
def test_invalid_prompt_sets_become_notes(app, tmp_path, names, text, word):
    html = app.compare(names, text)
    assert word in Page(html).text
    assert str(tmp_path) not in html
    assert not list((tmp_path / "scratch").glob("*.yaml"))


def test_typed_text_never_reaches_the_user_cache(app, photo, tmp_path, monkeypatch):
    cache = tmp_path / "usual"
    monkeypatch.setenv("KE2NT_CACHE", str(cache))
    app.show_faces(app.read_image(photo, find=False), "a secret word", TEMPLATE, None)
    app.compare(["simple"], app.to_yaml("neutral\nhappiness: secretly happy", TEMPLATE))
    kept = b"".join(p.read_bytes() for p in cache.rglob("*") if p.is_file())
    assert kept
    assert b"secret" not in kept


def test_a_linear_head(linear, photo, tmp_path):
    app = AppBackend(
        "linear",
        linear,
        detector=None,
        device="cpu",
        vocabulary=Vocabulary(linear, tmp_path),
        trials=None,
    )
    answer = app.show_faces(app.read_image(photo, find=False), "anything", "at all", "joy")
    assert answer.classes == ("calm", "joy", "rage")
    assert "intensity" not in answer.html
    assert "linear head" in app.compare(["simple"], "")
