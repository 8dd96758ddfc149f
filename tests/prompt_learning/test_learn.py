"""Learned context: values, gradients and a step against the oracle; choices of the loop."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from context_oracle import WORDS, Oracle, loss, prompt_rows

from ke2nt.errors import ConfigError, DataError, PromptError, TrainingError
from ke2nt.prompt_learning.context import Context
from ke2nt.prompt_learning.learn import LabeledEmbeddings, context_loss, learn_context
from ke2nt.prompt_learning.options import ContextOptions

START, END = 49406, 49407
SPLITS = {"end": (4, 0), "middle": (2, 2), "front": (0, 4)}


@pytest.fixture(scope="module")
def oracle(encoder):
    return Oracle(encoder._load_model().state_dict(), heads=2)


@pytest.fixture(scope="module")
def written():
    rows = torch.randn(3, 12, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.normalize(rows, dim=-1)


def oracle_classes(oracle, tower, vectors, position):
    """(K, D) from vectors (K, M, W) in float64."""
    table = oracle.state["token_embedding.weight"]
    before, _ = SPLITS[position]
    found = []
    for word, context in zip(WORDS, vectors, strict=True):
        ids = tower.plain_ids(word), tower.plain_ids(".")
        rows = prompt_rows(table, START, context[:before], ids, context[before:], END)
        found.append(oracle.embed(rows, len(rows) - 1))
    return np.stack(found)


@pytest.mark.parametrize("position", SPLITS)
@pytest.mark.parametrize("class_specific", [False, True])
def test_values_and_gradients_equal_the_oracle(
    oracle, tower, faces, written, position, class_specific
):
    options = ContextOptions(context=4, position=position, class_specific=class_specific, seed=3)
    context = Context(tower, WORDS, options)
    assert context.vectors.shape == (3 if class_specific else 1, 4, 16)
    with torch.no_grad():
        context.vectors.mul_(20)  # far from 0, where the tower is nearly constant
    start = context.vectors.detach().double().numpy()

    def slow_loss(vectors):
        classes = oracle_classes(oracle, tower, np.broadcast_to(vectors, (3, 4, 16)), position)
        images, labels = faces[0].embeddings.double().numpy(), faces[0].labels.tolist()
        return loss(classes, images, labels, 8.0, written.double().numpy(), 2.5)

    classes = oracle_classes(oracle, tower, np.broadcast_to(start, (3, 4, 16)), position)
    np.testing.assert_allclose(context().detach().numpy(), classes, atol=2e-6)
    value = context_loss(context(), faces[0], 8.0, written, 2.5)
    assert value.item() == pytest.approx(slow_loss(start), rel=1e-5)

    # finite differences of the oracle, at some of the numbers
    (gradient,) = torch.autograd.grad(value, context.vectors)
    step = 1e-5
    for index in [(0, 0, 0), (len(start) - 1, 1, 7), (0, 2, 15), (len(start) - 1, 3, 3)]:
        higher, lower = start.copy(), start.copy()
        higher[index] += step
        lower[index] -= step
        slope = (slow_loss(higher) - slow_loss(lower)) / (2 * step)
        assert float(gradient[index]) == pytest.approx(slope, rel=1e-3, abs=1e-5)


def test_a_step_is_sgd_with_weight_decay(tower, faces, written):
    options = ContextOptions(
        context=2, epochs=1, lr=0.5, batch_size=60, regularize=3.0, seed=4, class_specific=True
    )
    start = Context(tower, WORDS, options)
    learned = learn_context(
        tower, WORDS, faces[0], logit_scale=8.0, written=written, options=options
    )

    # the gradient by hand: cross-entropy and distance, then decay
    unit = start()
    logits = 8.0 * faces[0].embeddings @ unit.T
    entropy = -logits.log_softmax(-1)[torch.arange(60), faces[0].labels].mean()
    distance = sum(((unit[k] - written[k]) ** 2).sum() for k in range(3)) / 3
    (gradient,) = torch.autograd.grad(entropy + 3.0 * distance, start.vectors)
    expected = start.vectors - 0.5 * (gradient + 5e-4 * start.vectors)
    torch.testing.assert_close(learned.vectors, expected.detach(), rtol=1e-4, atol=1e-6)
    assert learned.history[0].loss == pytest.approx((entropy + 3.0 * distance).item(), rel=1e-5)


def test_learning_helps_and_can_be_repeated(tower, faces):
    options = ContextOptions(context=4, epochs=8, lr=1.0, batch_size=20)
    learned = learn_context(tower, WORDS, *faces, logit_scale=10.0, options=options)
    again = learn_context(tower, WORDS, *faces, logit_scale=10.0, options=options)
    assert torch.equal(learned.vectors, again.vectors)
    assert learned.history[-1].loss < learned.history[0].loss - 0.02

    # the epoch is that of the best validation UAR, then of the lowest loss
    best = max(learned.history, key=lambda record: (record.val_uar, -record.val_loss))
    assert learned.epoch == best.epoch
    logits = 10.0 * faces[1].embeddings @ learned.embeddings.T
    accuracy = float((logits.argmax(-1) == faces[1].labels).float().mean())
    assert accuracy == pytest.approx(best.val_accuracy)

    # without validation images it is the last
    last = learn_context(tower, WORDS, faces[0], logit_scale=10.0, options=options)
    assert last.epoch == 8
    assert last.history[-1].val_uar is None


def test_regularization_keeps_classes_near_the_written_ones(tower, faces, written):
    def distance(weight):
        options = ContextOptions(context=4, epochs=6, lr=0.5, batch_size=20, regularize=weight)
        learned = learn_context(
            tower, WORDS, faces[0], logit_scale=10.0, written=written, options=options
        )
        return float((learned.embeddings - written).square().sum(-1).mean())

    assert distance(8.0) < distance(0.0)


def test_words_to_start_from(tower):
    context = Context(tower, WORDS, ContextOptions(init="a photo of a"))
    expected = tower.vocabulary[tower.plain_ids("a photo of a")]
    assert torch.equal(context.vectors[0].detach(), expected)

    # from the words' own embeddings, the prompt is that of the written sentence
    encoded = tower.encode(
        tower.embed_tokens(tower.tokenize(["a photo of a happy."])),
        tower.tokenize(["a photo of a happy."]),
    )
    unit = torch.nn.functional.normalize(encoded[0], dim=-1)
    torch.testing.assert_close(context()[1].detach(), unit, atol=1e-6, rtol=0)

    specific = Context(tower, WORDS, ContextOptions(init="a face", class_specific=True))
    assert specific.vectors.shape == (3, 2, 16)
    random = Context(tower, WORDS, ContextOptions(context=2, class_specific=True))
    assert not torch.equal(random.vectors[0], random.vectors[1])
    assert Context(tower, ["happy"], ContextOptions()).vectors.shape == (1, 16, 16)


def test_wrong_lengths_are_named(tower):
    with pytest.raises(ConfigError, match=r"'a photo of a' .*expected 4 vectors.*found 16"):
        Context(tower, WORDS, ContextOptions(init="a photo of a", context=16))
    with pytest.raises(ConfigError, match=r"at most 17 vectors.*found 18"):
        Context(tower, WORDS, ContextOptions(context=18))
    with pytest.raises(PromptError, match="16 vectors and 'in pain'"):
        Context(tower, WORDS, ContextOptions(context=16))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"context": 0}, "context is out of range"),
        ({"regularize": -1.0}, "regularize is out of range"),
        ({"regularize": float("nan")}, "regularize is out of range"),
        ({"lr": 0.0}, "lr is out of range"),
        ({"position": "left"}, "one of end, middle, front"),
        ({"init": " "}, "init is empty"),
    ],
)
def test_options_out_of_range(change, words):
    with pytest.raises(ConfigError, match=words):
        ContextOptions(**change)


def test_images_that_do_not_fit(tower, faces):
    train = faces[0]
    with pytest.raises(DataError, match="0 to 1; found 0 to 2"):
        learn_context(tower, WORDS[:2], train, logit_scale=1.0)
    none = LabeledEmbeddings(train.embeddings[:0], train.labels[:0])
    with pytest.raises(DataError, match="no images"):
        learn_context(tower, WORDS, none, logit_scale=1.0)
    options = ContextOptions(context=2, regularize=1.0)
    with pytest.raises(DataError, match="written prompts"):
        learn_context(tower, WORDS, train, logit_scale=1.0, options=options)
    broken = dataclasses.replace(train, embeddings=train.embeddings * float("nan"))
    with pytest.raises(TrainingError, match="not finite"):
        learn_context(
            tower, WORDS, broken, logit_scale=1.0, options=ContextOptions(context=2, epochs=1)
        )
