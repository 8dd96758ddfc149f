"""The search finds what was planted, keeps its splits apart, and its YAML gives the same score."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from lab_oracles import (
    CLASSES,
    WIDTH,
    WordEncoder,
    described_set,
    faces,
    random_faces,
    slow_metrics,
    slow_predictions,
    words_set,
)

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import DataError, LabelError, PromptError
from ke2nt.promptlab import rank, search
from ke2nt.promptlab.beam_search import select_ensemble
from ke2nt.promptlab.scorer import PromptScorer
from ke2nt.prompts.articles import fill_template
from ke2nt.prompts.prompt_set import PromptSet

K = len(CLASSES)


def planted(seed=0, n=240):
    """Faces around four axes; of six prompts a class, two see one half of its axis each.

    Together the two point along the axis; the other four prompts point to the next class.
    """
    rng = np.random.default_rng(seed)
    axes = np.eye(WIDTH)
    vectors, texts = {}, {}
    for k, name in enumerate(CLASSES):
        good = [axes[k] + 1.4 * sign * axes[8 + k] for sign in (1, -1)]
        bad = [axes[(k + 1) % K] + 0.5 * rng.normal(size=WIDTH) for _ in range(4)]
        texts[name] = [f"{name} {kind}" for kind in ("left", "right", "b1", "b2", "b3", "b4")]
        vectors.update(zip(texts[name], (v.astype(np.float32) for v in good + bad), strict=True))
    prompts = PromptSet(name="planted", classes=dict.fromkeys(CLASSES, ()), descriptions=texts)
    return prompts, WordEncoder(vectors), [planted_faces(s, n) for s in (seed + 1, seed + 2)]


def planted_faces(seed, n):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, K, n)
    vectors = np.eye(WIDTH)[labels] + 0.28 * rng.normal(size=(n, WIDTH))
    return faces(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels)


@pytest.mark.parametrize("beam", [1, 3])
def test_planted_ensemble_is_found_and_wins_on_the_final_split(beam):
    prompts, encoder, (selection, final) = planted()
    found = search(selection, final, [prompts], beam=beam, text_encoder=encoder, bootstrap=200)
    selected, single, full = found.contenders
    for name in CLASSES:
        assert set(found.prompts.render(name)) == {f"{name} left", f"{name} right"}
    assert selected.final.uar > single.final.uar + 0.02
    assert selected.final.uar > full.final.uar + 0.2
    assert single.gain.intervals["uar"][0] > 0
    assert full.test.p_value < 1e-6
    assert {name: len(texts) for name, texts in single.prompts.items()} == dict.fromkeys(CLASSES, 1)
    assert full.prompts == {name: prompts.render(name) for name in CLASSES}


def random_scorer(seed, candidates=6):
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(3), candidates)
    labels = rng.integers(0, 3, 80)
    images = rng.normal(size=(80, 8)) + 0.6 * np.eye(8)[labels]
    vectors = rng.normal(size=(3 * candidates, 8)) + 0.6 * np.eye(8)[owners]
    return PromptScorer(images, labels, vectors, owners, 3), owners


def test_wide_beam_matches_exhaustive_search():
    scorer, _ = random_scorer(2)
    block = np.tile(np.eye(6, dtype=bool), 3)  # candidate c is the c-th prompt of every class
    subsets = [c for size in range(1, 7) for c in itertools.combinations(range(6), size)]
    best = max(scorer.score(block[list(c)].any(axis=0)[None]).uar[0] for c in subsets)
    mask, steps = select_ensemble(scorer, [block], beam=64, max_size=6)
    assert scorer.score(mask[None]).uar[0] == best
    assert steps[-1].score == best
    greedy, _ = select_ensemble(scorer, [block], beam=1, max_size=6)
    assert scorer.score(greedy[None]).uar[0] <= best


def test_greedy_matches_a_slow_loop():
    scorer, _ = random_scorer(5)
    block = np.tile(np.eye(6, dtype=bool), 3)

    def key(chosen):
        scores = scorer.score(block[chosen].any(axis=0)[None])
        return scores.uar[0], scores.accuracy[0], -len(chosen)

    chosen, ends = [], []
    for _ in range(4):
        rest = [c for c in range(6) if c not in chosen]
        chosen = max(([*chosen, c] for c in rest), key=key)
        ends.append(key(chosen))
    mask, _ = select_ensemble(scorer, [block], beam=1, max_size=4)
    scores = scorer.score(mask[None])
    assert (scores.uar[0], scores.accuracy[0]) == max(ends)[:2]


@pytest.mark.parametrize("objective", ["uar", "accuracy"])
def test_result_is_a_local_optimum_no_worse_than_the_start(objective):
    for seed in range(5):
        scorer, owners = random_scorer(seed)
        blocks = [np.eye(18, dtype=bool)[owners == k] for k in range(3)]
        start = np.zeros(18, bool)
        start[[0, 6, 12]] = True
        before = getattr(scorer.score(start[None]), objective)[0]
        mask, steps = select_ensemble(scorer, blocks, start=start, objective=objective, max_size=3)
        after = getattr(scorer.score(mask[None]), objective)[0]
        assert after >= before
        assert [s.score for s in steps] == sorted(s.score for s in steps)
        assert all(1 <= mask[owners == k].sum() <= 3 for k in range(3))


def test_no_starting_point_beats_the_result_on_the_selection_split(encoder):
    for seed in range(3):
        images, other = random_faces(100, 2 * seed), random_faces(100, 2 * seed + 1)
        sets = [words_set(), described_set()]
        found = search(images, other, sets, text_encoder=encoder, bootstrap=0, seed=seed)
        ranking = rank(images, sets, text_encoder=encoder, bootstrap=0)
        tried = [e.metrics.uar for e in ranking.entries_of_kind("set", "template")]
        selected, single, _ = (c.selection.uar for c in found.contenders)
        assert selected >= max([*tried, single])
        for template in sets[0].templates:
            texts = [[fill_template(template, words[0])] for words in sets[0].classes.values()]
            predicted = slow_predictions(images.embeddings, texts, encoder)
            assert single >= slow_metrics(predicted, images.labels, K)[1]


def test_same_seed_gives_the_same_search():
    images, other = random_faces(150, 3), random_faces(150, 4)
    options = {"text_encoder": WordEncoder(), "bootstrap": 50, "beam": 2}
    first, again = (search(images, other, [words_set()], seed=7, **options) for _ in range(2))
    assert json.dumps(first.to_dict()) == json.dumps(again.to_dict())
    assert first.to_yaml() == again.to_yaml()


@pytest.mark.parametrize("share", ["nothing", "templates"])
def test_yaml_gives_the_same_score_through_a_text_bank(tmp_path, encoder, share):
    images, other = random_faces(150, 3), random_faces(150, 4)
    sets = [words_set(), words_set(name="more", templates=["so {class}", "one {class} look"])]
    found = search(
        images,
        other,
        sets,
        share=share,
        name="better",
        text_encoder=encoder,
        bootstrap=0,
        settings={"dataset": "planted\n# faces"},
    )
    path = tmp_path / "better.yaml"
    path.write_text(found.to_yaml(), encoding="utf-8")
    loaded = PromptSet.load(path)
    assert loaded == found.prompts
    assert bool(loaded.templates) == (share == "templates")
    bank = TextBank.build(loaded, encoder)
    for split, metrics in (
        (images, found.contenders[0].selection),
        (other, found.contenders[0].final),
    ):
        predicted = (split.embeddings @ bank.embeddings.numpy().T).argmax(axis=1)
        accuracy, uar, recalls = slow_metrics(predicted, split.labels, K)
        assert (metrics.accuracy, metrics.uar) == pytest.approx((accuracy, uar))
        assert metrics.recall == pytest.approx(recalls)
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any(line.startswith("# selected: ") for line in head)
    assert '# sets: ["words", "more"]' in head


def test_shared_templates_use_all_words(encoder):
    images, other = random_faces(100, 3), random_faces(100, 4)
    more = words_set(name="more", classes={name: [f"{name} word"] for name in CLASSES})
    found = search(
        images, other, [words_set(), more, described_set()], share="templates", max_size=1,
        text_encoder=encoder, bootstrap=0,
    )  # fmt: skip
    assert len(found.prompts.templates) == 1
    assert found.prompts.classes["happiness"] == ("happy", "happiness word")
    assert found.contenders[0].prompts == found.contenders[1].prompts
    with pytest.raises(PromptError, match="no templates"):
        search(images, other, [described_set()], share="templates", text_encoder=encoder)


def test_final_split_must_be_new(encoder):
    images = random_faces(100, 3)
    with pytest.raises(DataError, match="also in the selection split"):
        search(images, images, [words_set()], text_encoder=encoder)
    half = faces(
        np.concatenate([images.embeddings[:10], random_faces(50, 8).embeddings]),
        np.concatenate([images.labels[:10], random_faces(50, 8).labels]),
    )
    found = search(images, half, [words_set()], text_encoder=encoder, bootstrap=0)
    assert "10 of 60 images" in found.notes[0]


def test_bad_sizes_and_foreign_classes_are_refused(encoder):
    images, other = random_faces(40, 3), random_faces(40, 4)
    for options in ({"beam": 0}, {"max_size": 0}):
        with pytest.raises(DataError, match="at least 1"):
            search(images, other, [words_set()], text_encoder=encoder, **options)
    with pytest.raises(LabelError):
        search(random_faces(classes=("pain", *CLASSES[1:])), other, [words_set()],
               text_encoder=encoder)  # fmt: skip


def test_long_experiments_say_how_far_they_are(encoder, monkeypatch, capfd):
    images = [random_faces(60, seed) for seed in (1, 2)]
    sets = [words_set(), described_set()]
    options = {"text_encoder": encoder, "bootstrap": 10}
    rank(images[0], sets, **options)
    search(*images, sets, **options)
    assert capfd.readouterr().err == ""

    # a minute passes at every look at the clock
    clock = itertools.count(0, 60)
    monkeypatch.setattr("ke2nt.runtime.progress.monotonic", lambda: next(clock))
    rank(images[0], sets, **options, quiet=False)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("scoring prompts: 100 % of 1")
    assert any(line.startswith("comparing ensembles: 50 % of ") for line in lines)
    search(*images, sets, **options, quiet=False)
    assert "searching prompts, blocks: 1 done\n" in capfd.readouterr().err


def test_learned_sets_are_not_searched(encoder):
    learned = words_set().model_copy(update={"learned": object()})
    with pytest.raises(PromptError, match="only written prompts are searched"):
        search(random_faces(60, 1), random_faces(60, 2), [learned], text_encoder=encoder)
