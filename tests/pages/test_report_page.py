"""The page is well-formed, self-contained, escaped, and says what it was given."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.metrics import classification_report
from ke2nt.evaluation.predictions import Predictions
from ke2nt.evaluation.score import score_predictions
from ke2nt.pages.faces import FaceGroup, FacePrediction, pick_faces
from ke2nt.pages.phrases import (
    describe_calibration,
    describe_confusions,
    describe_recalls,
    describe_similarity,
)
from ke2nt.pages.render import render_report, render_tables, write_report
from ke2nt.pages.run_report import PromptMap, RunReport, training_curves
from ke2nt.pages.table_page import PageTable, TablePage, TableSection

EVIL = '<script>alert("x")</script>'
VOID = {"meta", "link", "img", "source", "br", "hr", "input"}


class Page(HTMLParser):
    """Checks nesting; collects text, tags and attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data

    def values(self, tag, name):
        return [v for t, n, v in self.attributes if (t, n) == (tag, name)]


@pytest.fixture(scope="module")
def metrics():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 200)
    return classification_report(p, rng.integers(0, 3, 200), ("neutral", "joy", EVIL))


@pytest.fixture(scope="module")
def full(metrics):
    pixels = np.zeros((8, 8, 3), np.uint8)
    return RunReport(
        title=f"Run {EVIL}",
        data="ferplus val, rule majority",
        metrics=metrics,
        labels="contempt → disgust",
        faces=(
            FaceGroup(
                "A random sample",
                (
                    FacePrediction(pixels, "neutral", "neutral", 0.91, "right.png"),
                    FacePrediction(pixels, "neutral", EVIL, 0.52, 'wrong".png'),
                ),
            ),
        ),
        failed=[("broken.png", f"not an image {EVIL}")],
        records=[
            {"epoch": e, "loss": {"total": 2.0 / e}, "val": {"accuracy": 0.1 * e}} for e in (1, 2)
        ],
        text=PromptMap(
            ("neutral", "joy", EVIL),
            rng_vectors(3),
            rng_vectors(1)[0],
            {"joy": [f"a photo of {EVIL}", "a second prompt"]},
            ["a calm face"],
            "minilm",
        ),
        config={"seed": 29, "name": EVIL},
        provenance={"versions": {"torch": "2.11.0"}, "revision": None, "seed": 29},
        command="ke2nt train quickstart",
        warnings=["OPTIMISTIC PROTOCOL"],
        notes=[f"A note {EVIL}"],
    )


def rng_vectors(n):
    return np.random.default_rng(n).normal(size=(n, 8))


@pytest.fixture(scope="module")
def html(full):
    return render_report(full)


def test_page_is_self_contained_and_runs_no_script(html):
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    sources = page.values("img", "src") + page.values("source", "srcset")
    assert len(sources) == 2 * 5 + 2
    assert all(s.startswith("data:image/") for s in sources)
    assert "//" not in re.sub(r"data:image/[^\"]*", "", html)
    assert "url(" not in html
    assert "@import" not in html
    assert not [n for _, n, _ in page.attributes if n.startswith("on")]


def test_table_page():
    calls = []

    def draw(*, theme, format):
        calls.append((theme.page, format))
        return b"<svg/>"

    table = PageTable([("model", False), ("UAR %", True)], [[EVIL, "61.2"], ["b", "–"]])
    section = TableSection("On b", draw, EVIL, "caption", [table, table], notes=[EVIL])
    html = render_tables(
        TablePage(EVIL, "lead", [section, section], [(EVIL, "no model")], EVIL, {"a": {"b": 7}})
    )
    page = Page(html)
    assert "script" not in page.tags
    assert page.text.count(EVIL) == 10  # both titles, command, failure, notes, rows
    assert page.text.count("61.2") == 4
    assert page.values("th", "class").count("number") == 4
    assert page.values("img", "alt") == [EVIL, EVIL]
    assert {format for _, format in calls} == {"svg"}
    assert len({page for page, _ in calls}) == 2
    assert not re.search(r"(src|href)=.https?:", html)


def test_user_text_is_escaped(html):
    assert "<script" not in html
    text = Page(html).text
    for part in (f"Run {EVIL}", f"a photo of {EVIL}", f"not an image {EVIL}", f"A note {EVIL}"):
        assert part in text


def test_numbers_are_on_the_page(html, metrics):
    text = Page(html).text.replace("\N{NO-BREAK SPACE}", " ")
    for value in (metrics.accuracy, metrics.uar, metrics.macro_f1, metrics.ece):
        assert f"{100 * value:.1f} %" in text
    for low, high in metrics.intervals.values():
        assert f"{100 * low:.1f} % to {100 * high:.1f} %" in text
    for c in metrics.per_class:
        assert f"{100 * c.recall_interval[0]:.1f}–{100 * c.recall_interval[1]:.1f}" in text
    assert "200 images" in text
    for part in (
        "ferplus val, rule majority",
        "contempt → disgust",
        "OPTIMISTIC PROTOCOL",
        "minilm",
        "versions.torch",
        "2.11.0",
        "a calm face",
        '"seed": 29',
        "ke2nt train quickstart",
    ):
        assert part in text
    assert "revision" not in text


def test_plots_have_alt_texts_and_both_color_schemes(html):
    page = Page(html)
    alts = page.values("img", "alt")
    assert len(alts) == len(page.values("img", "src"))
    assert all(len(alt) > 10 for alt in alts)
    assert "Face labeled neutral, predicted neutral" in alts
    assert page.values("source", "media") == ["screen and (prefers-color-scheme: dark)"] * 5
    light, dark = page.values("img", "src"), page.values("source", "srcset")
    assert not set(light) & set(dark)
    assert page.values("meta", "content")[0] == "width=device-width, initial-scale=1"
    assert page.values("html", "lang") == ["en"]


def test_right_and_wrong_answers_are_marked(html):
    page = Page(html)
    assert page.values("li", "class") == ["wrong"]
    assert page.text.count("✓") == page.text.count("✗") == 1


def test_parts_may_be_left_out(tmp_path):
    path = write_report(tmp_path / "new" / "report.html", RunReport(title="Only a title"))
    page = Page(path.read_text(encoding="utf-8"))
    assert "Only a title" in page.text
    assert "section" not in page.tags
    assert "img" not in page.tags


def test_each_part_alone(full):
    for name in ("faces", "failed", "records", "text", "config", "provenance", "notes"):
        page = Page(render_report(RunReport(title="t", **{name: getattr(full, name)})))
        assert page.tags.count("section") == (2 if name == "text" else 1), name


def test_undefined_metrics_are_dashes():
    p = np.eye(3)[[0, 1, 0]]
    report = classification_report(p, np.array([0, 1, 0]), ("a", "b", "c"), bootstrap=0)
    text = Page(render_report(RunReport(title="t", metrics=report))).text
    assert "–" in text
    assert "A dash means undefined" in text
    assert "nan" not in text.lower()


def test_training_curves_read_the_log():
    records = [
        {"epoch": 1, "lr": 0.1, "loss": {"total": 3.0, "self_contrast": 2.0}},
        {"epoch": 2, "loss": {"total": 1.0}, "val": {"accuracy": 0.5, "nll": 1.0, "uar": 0.4}},
    ]
    losses, scores = training_curves(records)
    assert losses == {"total": [(1, 3.0), (2, 1.0)], "self contrast": [(1, 2.0)]}
    assert scores == {"accuracy": [(2, 0.5)], "UAR": [(2, 0.4)]}


def test_descriptions_name_the_extremes():
    y = np.array([0] * 10 + [1] * 4)
    guess = np.array([0] * 7 + [1] * 3 + [0] + [1] * 3)
    p = np.full((14, 2), 0.1)
    p[np.arange(14), guess] = 0.9
    report = classification_report(p, y, ("calm", "joy"), bootstrap=0)
    words = describe_confusions(report).replace("\N{NO-BREAK SPACE}", " ")
    assert words.index("calm predicted as joy (3 images, 30 %") < words.index(
        "joy predicted as calm (1"
    )
    assert "Best recognized: joy" in describe_recalls(report)
    assert "worst: calm" in describe_recalls(report)
    assert "over-confident" in describe_calibration(report)
    right = classification_report(np.eye(2)[y], y, ("calm", "joy"), bootstrap=0)
    assert describe_confusions(right) == "No confusions."
    vectors = np.array([[1, 0], [1, 0.1], [-1, 0]])
    words = describe_similarity(("a", "b", "c"), vectors)
    assert words == "Closest in text: a and b (1.00); farthest apart: a and c (-1.00)."


def test_anchor_equal_to_a_class_is_left_out():
    rows, own = torch.eye(3), {"logit_scale": 1.0}
    bank = TextBank.from_tensors(rows, classes=("calm", "joy", "rage"), neutral_index=0, **own)
    assert PromptMap.from_bank(bank).anchor is None
    own |= {"neutral_index": None, "neutral": rows[0]}
    bank = TextBank.from_tensors(rows[1:], classes=("joy", "rage"), **own)
    assert PromptMap.from_bank(bank).anchor == pytest.approx(rows[0].numpy())


@pytest.mark.parametrize("memory", ["ram", "lazy"])
def test_picked_faces_are_the_scored_ones(memory):
    n, classes = 9, ("neutral", "joy")
    pixels = [np.full((4, 4, 3), 20 * i, np.uint8) for i in range(n)]
    samples = [FaceSample(f"n{i}", pixels[i], i % 2) for i in range(n)]
    samples[3] = FaceSample("n3", "/nowhere/face.png", 1)
    images = FaceTensors(
        FaceSplit("drawn", "test", classes, tuple(samples)), 4, memory=memory, workers=0
    )
    kept = [i for i in range(n) if i != 3]
    wrong = {2: 0.6, 5: 0.9, 8: 0.7}
    rows = []
    for i in kept:
        sure = wrong.get(i, 0.8)
        guess = 1 - i % 2 if i in wrong else i % 2
        rows.append([sure, 1 - sure] if guess == 0 else [1 - sure, sure])
    predictions = Predictions(
        np.array(rows),
        np.array([i % 2 for i in kept]),
        tuple(f"n{i}" for i in kept),
        classes,
        classes,
        None,
        (("n3", "gone"),),
    )
    sample, mistakes = pick_faces(score_predictions(predictions, bootstrap=0), images, count=4)
    assert [f.name for f in mistakes.faces] == ["n5", "n8", "n2"]
    assert [f.confidence for f in mistakes.faces] == [0.9, 0.7, 0.6]
    assert len(sample.faces) == 4
    for face in (*sample.faces, *mistakes.faces):
        i = int(face.name[1:])
        assert (face.pixels == 20 * i).all()
        assert face.true == classes[i % 2]
        assert face.right == (i not in wrong)
