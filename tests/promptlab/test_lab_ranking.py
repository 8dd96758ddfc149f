"""What each template and word is worth, against ensembles put together and scored by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from lab_oracles import (
    CLASSES,
    described_set,
    random_faces,
    slow_metrics,
    slow_predictions,
    words_set,
)

from ke2nt.promptlab import rank
from ke2nt.promptlab.options import LabOptions
from ke2nt.prompts.articles import fill_template
from ke2nt.runtime.renamed import RenamedWarning


@pytest.fixture
def images():
    return random_faces(120)


def slow(images, prompts_by_class, encoder):
    predicted = slow_predictions(images.embeddings, prompts_by_class, encoder)
    return slow_metrics(predicted, images.labels, len(CLASSES))


def check(metrics, expected):
    accuracy, uar, recalls = expected
    assert (metrics.accuracy, metrics.uar) == pytest.approx((accuracy, uar))
    assert metrics.recall == pytest.approx(recalls)


def test_template_alone_and_marginal(images, encoder):
    prompts = words_set()
    found = rank(images, [prompts], text_encoder=encoder, bootstrap=100)
    whole = slow(images, [prompts.render(name) for name in CLASSES], encoder)
    check(found.entries_of_kind("set")[0].metrics, whole)
    assert len(found.entries_of_kind("template")) == 3
    for entry in found.entries_of_kind("template"):
        alone, rest = [], []
        for words in prompts.classes.values():
            mine = [fill_template(entry.text, w) for w in words]
            alone.append(mine)
            others = [t for t in prompts.templates if t != entry.text]
            rest.append([fill_template(t, w) for t in others for w in words])
        check(entry.metrics, slow(images, alone, encoder))
        without = slow(images, rest, encoder)
        assert entry.marginal.uar == pytest.approx(whole[1] - without[1])
        assert entry.marginal.accuracy == pytest.approx(whole[0] - without[0])
        assert entry.marginal.recall == pytest.approx(np.subtract(whole[2], without[2]))
        low, high = entry.marginal.intervals["uar"]
        assert low <= entry.marginal.uar <= high
        assert entry.prompts == 6


def test_word_alone_and_marginal(images, encoder):
    prompts = words_set()
    found = rank(images, [prompts], text_encoder=encoder, bootstrap=0)
    whole = slow(images, [prompts.render(name) for name in CLASSES], encoder)
    entries = {(e.class_name, e.text): e for e in found.entries_of_kind("word")}
    assert set(entries) == {(c, w) for c, words in prompts.classes.items() for w in words}
    for (name, word), entry in entries.items():
        classes = dict(prompts.classes)
        alone = prompts.model_copy(update={"classes": {**classes, name: (word,)}})
        check(entry.metrics, slow(images, [alone.render(c) for c in CLASSES], encoder))
        left = tuple(w for w in classes[name] if w != word)
        if not left:
            assert entry.marginal is None
            continue
        rest = prompts.model_copy(update={"classes": {**classes, name: left}})
        without = slow(images, [rest.render(c) for c in CLASSES], encoder)
        assert entry.marginal.uar == pytest.approx(whole[1] - without[1])


def test_sets_together_and_marginal(images, encoder):
    one, two = words_set(), described_set()
    found = rank(images, [one, two], text_encoder=encoder, bootstrap=0)
    together = slow(images, [one.render(c) + two.render(c) for c in CLASSES], encoder)
    check(found.entries_of_kind("all")[0].metrics, together)
    for entry, other in zip(
        sorted(found.entries_of_kind("set"), key=lambda e: e.text), (one, two), strict=True
    ):
        without = slow(images, [other.render(c) for c in CLASSES], encoder)
        assert entry.text != other.name
        assert entry.marginal.uar == pytest.approx(together[1] - without[1])
    assert len(found.entries_of_kind("description")) == 8
    for entry in found.entries_of_kind("description"):
        alone = [[entry.text] if c == entry.class_name else two.render(c) for c in CLASSES]
        check(entry.metrics, slow(images, alone, encoder))


def test_the_best_come_first_and_json_is_plain(images, encoder):
    found = rank(images, [words_set()], text_encoder=encoder, bootstrap=20)
    scores = [entry.metrics.uar for entry in found.entries_of_kind("template")]
    assert scores == sorted(scores, reverse=True)
    assert [e.class_name for e in found.entries_of_kind("word")] == sorted(
        (e.class_name for e in found.entries_of_kind("word")), key=CLASSES.index
    )
    assert found.best(2, "template") == found.entries_of_kind("template")[:2]
    several = [c for c in CLASSES if len(words_set().classes[c]) > 1]
    assert several != list(CLASSES)
    assert [e.class_name for e in found.best(1, "word")] == several
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["classes"] == list(CLASSES)
    assert len(document["entries"]) == len(found.entries)
    assert document == json.loads(
        json.dumps(rank(images, [words_set()], text_encoder=encoder, bootstrap=20).to_dict())
    )


def test_old_names_warn_and_work(images, encoder):
    ranking = rank(images, [words_set()], text_encoder=encoder, bootstrap=0)
    with pytest.warns(RenamedWarning, match="entries_of_kind"):
        (entry,) = ranking.of("set")
    with pytest.warns(RenamedWarning, match="metrics"):
        assert entry.figures == entry.metrics


def test_options_as_an_object_or_as_fields(images, encoder):
    options = LabOptions(text_encoder=encoder, bootstrap=50, seed=3)
    as_object = rank(images, [words_set()], options)
    as_fields = rank(images, [words_set()], text_encoder=encoder, bootstrap=50, seed=3)
    assert as_object == as_fields
    assert rank(images, [words_set()], options, seed=4) != as_object
    with pytest.raises(TypeError, match="no_such_option"):
        rank(images, [words_set()], no_such_option=1)
