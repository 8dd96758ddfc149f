"""Class shares of an epoch's labels, and the prior that a trained model carries."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ke2nt.config.schema import TrainConfig
from ke2nt.models.class_prior import ClassPrior
from ke2nt.models.load import load_model
from ke2nt.training.class_shares import seen_class_shares, training_prior
from ke2nt.training.sampling import epoch_order
from ke2nt.training.train_recognizer import train

LABELS = [0, 0, 0, 0, 0, 0, 1, 1, 2]
SOFT = [[0.5, 0.25, 0.25]] * 6 + [[0.0, 1.0, 0.0]] * 2 + [[0.0, 0.5, 0.5]]


def fake_data(targets, *, synthetic=0, per_epoch=0):
    """Stand in for training data: nine images, the last `synthetic` of them synthetic."""
    real = len(LABELS) - synthetic
    split = SimpleNamespace(labels=lambda: np.array(LABELS), classes=("a", "b", "c"))
    return SimpleNamespace(
        train=SimpleNamespace(split=split),
        targets=torch.tensor(targets),
        real_positions=torch.arange(real),
        synthetic_positions=torch.arange(real, len(LABELS)),
        synthetic_per_epoch=per_epoch,
        classes=("a", "b", "c"),
    )


def config(sampling="natural", adjustment=0.0):
    values = {"data": {"sampling": sampling}, "loss": {"logit_adjustment": adjustment}}
    return TrainConfig.model_validate(values)


@pytest.mark.parametrize(
    ("sampling", "targets", "expected"),
    [
        ("natural", LABELS, [6, 2, 1]),
        ("balanced", LABELS, [1, 1, 1]),
        ("sqrt", LABELS, [6**0.5, 2**0.5, 1]),
        ("natural", SOFT, [3, 1.5 + 2 + 0.5, 1.5 + 0.5]),
        ("balanced", SOFT, [0.5, 0.25 + 1 + 0.5, 0.25 + 0.5]),
    ],
)
def test_shares_by_hand(sampling, targets, expected):
    found = seen_class_shares(fake_data(targets), config(sampling)).tolist()
    assert found == pytest.approx([value / sum(expected) for value in expected], rel=1e-6)


def test_synthetic_images_count_by_their_share_of_an_epoch():
    # seven real images (6, 1, 0) and six synthetic draws, half class 1 and half class 2
    data = fake_data(LABELS, synthetic=2, per_epoch=6)
    assert seen_class_shares(data, config()).tolist() == pytest.approx([6 / 13, 4 / 13, 3 / 13])
    # a class without real images counts as one
    assert [*training_prior(data, config()).data.values()] == pytest.approx([6 / 8, 1 / 8, 1 / 8])


def test_shares_are_those_of_the_draws():
    generator = torch.Generator().manual_seed(0)
    positions, classes = torch.arange(9), torch.tensor(LABELS)
    drawn = [epoch_order(positions, classes, "sqrt", generator) for _ in range(2000)]
    counts = classes[torch.cat(drawn)].bincount().double()
    expected = seen_class_shares(fake_data(LABELS), config("sqrt"))
    assert (counts / counts.sum()).tolist() == pytest.approx(expected.tolist(), abs=0.01)


def test_logits_carry_what_sampling_and_adjustment_leave():
    natural = training_prior(fake_data(LABELS), config())
    assert natural.logits == natural.data == {"a": 6 / 9, "b": 2 / 9, "c": 1 / 9}

    half = training_prior(fake_data(LABELS), config(adjustment=0.5))
    roots = np.sqrt([6, 2, 1])
    assert [*half.logits.values()] == pytest.approx(roots / roots.sum())
    for even in (config("balanced"), config(adjustment=1.0), config("balanced", 1.0)):
        prior = training_prior(fake_data(LABELS), even)
        assert [*prior.logits.values()] == pytest.approx([1 / 3] * 3)
        assert prior.data == natural.data


def test_a_trained_model_has_it_on_its_card(tiny):
    result = train(tiny("loss.logit_adjustment=1"), quiet=True, page=False)
    model = load_model(result.run.model)
    prior = ClassPrior.from_card(model.card, model.classes)
    assert prior == training_prior(result.data, result.run.load_config())
    assert prior.facts == {"sampling": "natural", "logit_adjustment": 1.0, "soft_labels": False}
    assert [*prior.logits.values()] == pytest.approx([1 / 3] * 3)
    # a bank of other classes has no use for it
    assert ClassPrior.from_card(model.card, ("joy", "anger", "neutral")) is None
