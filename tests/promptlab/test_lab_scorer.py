"""The fast path gives what a text bank and a loop over cosines give."""

from __future__ import annotations

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

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import DataError, LabelError, ModelError, PromptError
from ke2nt.promptlab.pool import PromptPool
from ke2nt.promptlab.scorer import PromptScorer
from ke2nt.promptlab.workbench import build_workbench
from ke2nt.prompts.load_sets import load_prompt_sets


@pytest.fixture
def workbench(encoder):
    return build_workbench(random_faces(), [words_set(), described_set()], text_encoder=encoder)


def random_masks(pool, count, seed=1):
    """Masks that leave every class a prompt."""
    rng = np.random.default_rng(seed)
    masks = rng.random((count, len(pool.rows))) < 0.4
    for k in range(len(pool.classes)):
        rows = np.flatnonzero(pool.prompt_classes == k)
        masks[np.arange(count), rng.choice(rows, count)] = True
    return masks


def test_predictions_match_a_slow_loop(workbench, encoder):
    masks = random_masks(workbench.pool, 40)
    fast = workbench.scorer.predict(masks)
    for mask, row in zip(masks, fast, strict=True):
        chosen = workbench.pool.select_texts(mask)
        slow = slow_predictions(workbench.embeddings, chosen.values(), encoder)
        assert np.array_equal(row, slow)


def test_predictions_match_a_text_bank(workbench, encoder):
    for prompt_set in workbench.pool.sets:
        bank = TextBank.build(prompt_set, encoder)
        cosines = workbench.embeddings @ bank.embeddings.numpy().T
        fast = workbench.scorer.predict(workbench.pool.mask_of_set(prompt_set)[None])[0]
        assert np.array_equal(fast, cosines.argmax(axis=1))


def test_scores_match_the_predictions(workbench):
    masks = random_masks(workbench.pool, 25)
    scores, predicted = workbench.scorer.score(masks), workbench.scorer.predict(masks)
    for i, row in enumerate(predicted):
        accuracy, uar, recalls = slow_metrics(row, workbench.scorer.labels, len(CLASSES))
        assert scores.accuracy[i] == pytest.approx(accuracy, abs=1e-15)
        assert scores.uar[i] == pytest.approx(uar, abs=1e-15)
        assert scores.recall[i] == pytest.approx(recalls, abs=1e-15)


def test_many_masks_score_like_single_masks(workbench, monkeypatch):
    masks = random_masks(workbench.pool, 30)
    masks[:, workbench.pool.prompt_classes == 2] = masks[
        0, workbench.pool.prompt_classes == 2
    ]  # a class in common
    whole = workbench.scorer.count_correct(masks)
    assert np.array_equal(
        whole, np.concatenate([workbench.scorer.count_correct(m[None]) for m in masks])
    )
    monkeypatch.setattr("ke2nt.promptlab.scorer._CHUNK", 7 * len(workbench.names))
    assert np.array_equal(whole, workbench.scorer.count_correct(masks))


def test_a_class_without_images_is_left_out_of_uar():
    rng = np.random.default_rng(0)
    scorer = PromptScorer(
        rng.normal(size=(20, 5)), rng.integers(0, 2, 20), rng.normal(size=(3, 5)), np.arange(3), 3
    )
    scores = scorer.score(np.ones((1, 3), bool))
    assert np.isnan(scores.recall[0, 2])
    assert scores.uar[0] == pytest.approx(scores.recall[0, :2].mean())


def test_no_masks_give_no_predictions(workbench):
    none = np.zeros((0, workbench.scorer.num_prompts), bool)
    assert workbench.scorer.predict(none).shape == (0, len(workbench.names))
    assert workbench.scorer.count_correct(none).shape == (0, len(CLASSES))


def test_masks_that_leave_a_class_without_direction_are_refused(workbench):
    mask = np.ones(workbench.scorer.num_prompts, bool)
    mask[workbench.pool.prompt_classes == 1] = False
    with pytest.raises(DataError, match="no prompt chosen"):
        workbench.scorer.predict(mask[None])
    with pytest.raises(DataError, match="does not fit"):
        workbench.scorer.predict(mask[None, :-1])
    opposite = np.array([[1.0, 0], [-1.0, 0], [0, 1.0]])
    scorer = PromptScorer(np.eye(2), np.array([0, 1]), opposite, np.array([0, 0, 1]), 2)
    with pytest.raises(DataError, match="cancel out"):
        scorer.predict(np.ones((1, 3), bool))


@pytest.mark.parametrize(
    "changes",
    [
        {"images": np.zeros((4, 3))},
        {"images": np.ones((4, 2))},
        {"images": np.full((4, 3), np.nan)},
        {"labels": np.array([0, 1, 2, 0])},
        {"labels": np.array([0, 1])},
        {"prompt_classes": np.array([0, -1])},
    ],
)
def test_invalid_arrays_are_refused(changes):
    right = {
        "images": np.ones((4, 3)),
        "labels": np.array([0, 1, 0, 1]),
        "prompts": np.eye(3)[:2],
        "prompt_classes": np.array([0, 1]),
        "num_classes": 2,
    }
    PromptScorer(**right)
    with pytest.raises(DataError):
        PromptScorer(**{**right, **changes})


def test_shared_prompt_is_in_the_pool_once(encoder):
    pool = PromptPool((words_set(), words_set(name="again", templates=["a {class} face"])))
    assert len(pool.rows) == len(set(pool.rows)) == 3 * 6
    assert pool.mask_of_set(pool.sets[1]).sum() == 6


def test_dropped_and_merged_classes(encoder):
    images = random_faces(classes=("fear", "anger", "pain", "happiness"))
    with pytest.raises(LabelError):
        build_workbench(images, [words_set()], text_encoder=encoder)
    dropped = build_workbench(images, [words_set()], text_encoder=encoder, policy="drop")
    assert dropped.pool.classes == ("happiness", "anger", "fear")
    assert dropped.dropped == {"pain": int((images.labels == 2).sum())}
    kept = images.labels != 2
    assert np.array_equal(dropped.embeddings, images.embeddings[kept])
    names = np.array(images.classes)[images.labels[kept]]
    assert [dropped.pool.classes[k] for k in dropped.scorer.labels] == list(names)
    wide = build_workbench(
        images, [words_set()], text_encoder=encoder, policy="keep", merge={"pain": "fear"}
    )
    assert wide.pool.classes == CLASSES
    assert len(wide.names) == len(images)
    assert wide.label_facts["merged"] == {"pain": "fear"}


def test_sets_with_different_classes_need_the_drop_policy(encoder):
    images = random_faces(classes=CLASSES[:3])
    sets = [words_set(), described_set().with_classes(["anger", "neutral", "happiness"])]
    with pytest.raises(LabelError):
        build_workbench(images, sets, text_encoder=encoder)
    found = build_workbench(images, sets, text_encoder=encoder, policy="drop")
    assert found.pool.classes == CLASSES[:3]


def test_text_encoder_of_another_space_is_refused(encoder):
    images = random_faces()
    foreign = type(images)(**{**vars(images), "text_weights": "x" * 64})
    with pytest.raises(ModelError, match="shares"):
        build_workbench(foreign, [words_set()], text_encoder=encoder)


def test_sets_need_different_names():
    assert [s.name for s in load_prompt_sets(["simple", words_set()])] == ["simple", "words"]
    with pytest.raises(PromptError, match="same name"):
        load_prompt_sets(["simple", "simple"])
    with pytest.raises(PromptError, match="no prompt set"):
        load_prompt_sets([])


def test_prompts_are_encoded_once(encoder):
    for seed in range(3):
        build_workbench(random_faces(seed=seed), [words_set()], text_encoder=encoder)
    assert encoder.calls == 1
