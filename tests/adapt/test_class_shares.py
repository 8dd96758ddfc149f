"""Estimated class shares, where they can be worked out on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from adapted_weights import assert_same_weights, load_weights
from safetensors.torch import load_file

from ke2nt import adapt
from ke2nt.adapt.adapt_model import adapt as adapt_model
from ke2nt.adapt.adaptation_task import AdaptationTask
from ke2nt.adapt.class_shares import (
    correct_posteriors,
    estimate_shares_bbse,
    estimate_shares_em,
)
from ke2nt.adapt.share_correction import ShareCorrection
from ke2nt.cli.adapt import _show as show_result
from ke2nt.errors import ConfigError, DataError
from ke2nt.models.load import load_model

EVEN = np.array([0.5, 0.5])


def two_kinds(first, second, p=0.8):
    """Posteriors of a model that says p for one class or the other."""
    return np.array([[p, 1 - p]] * first + [[1 - p, p]] * second)


def test_certain_posteriors_are_counted():
    posteriors = np.eye(3)[[0, 0, 0, 2, 2]]
    source = np.array([0.2, 0.5, 0.3])
    assert estimate_shares_em(posteriors, source) == pytest.approx([0.6, 0.0, 0.4], abs=1e-6)
    labels = np.array([0, 1, 2])
    shares = estimate_shares_bbse(np.eye(3), labels, posteriors)
    assert shares == pytest.approx([0.6, 0.0, 0.4])


def test_both_give_the_solution_of_two_classes():
    # 70 images look like the first class: 0.7 = 0.8 q + 0.2 (1 − q); the likelihood agrees
    target = two_kinds(70, 30)
    expected = [5 / 6, 1 / 6]
    assert estimate_shares_em(target, EVEN) == pytest.approx(expected, abs=1e-6)

    source, labels = two_kinds(80, 20), np.zeros(100, np.int64)
    both = np.concatenate([source, two_kinds(20, 80)]), np.concatenate([labels, labels + 1])
    assert estimate_shares_bbse(*both, target) == pytest.approx(expected)


def test_source_shares_of_the_source_are_found_again():
    """Without a shift, nothing changes: the mean of the posteriors is a fixed point."""
    rng = np.random.default_rng(0)
    posteriors = rng.dirichlet([1.0, 2.0, 0.5], 500)
    source = posteriors.mean(axis=0)
    assert estimate_shares_em(posteriors, source) == pytest.approx(source, abs=1e-9)


def test_likelihood_is_at_its_maximum():
    rng = np.random.default_rng(1)
    posteriors, source = rng.dirichlet([0.7] * 4, 300), np.array([0.1, 0.2, 0.3, 0.4])
    shares = estimate_shares_em(posteriors, source)

    # Σ_k p_ik / s_k has mean 1 / (likelihood of i) where q_k > 0, and at most that elsewhere
    ratios = posteriors / source
    slopes = (ratios / (ratios @ shares)[:, None]).mean(axis=0)
    assert slopes.max() <= 1 + 1e-6
    assert slopes[shares > 1e-6] == pytest.approx(1.0, abs=1e-6)


def test_corrected_posteriors_are_those_of_bayes():
    # two normal densities at −1 and +1; the posterior under any shares is known
    x = np.linspace(-3, 3, 13)
    density = np.exp(-0.5 * (x[:, None] - np.array([-1.0, 1.0])) ** 2)
    source, target = np.array([0.3, 0.7]), np.array([0.9, 0.1])
    posteriors, expected = (
        weighted / weighted.sum(axis=1, keepdims=True)
        for weighted in (density * source, density * target)
    )
    np.testing.assert_allclose(correct_posteriors(posteriors, source, target), expected)


def test_share_of_a_class_without_labeled_images_is_zero():
    shares = estimate_shares_bbse(np.eye(3)[[0, 1]], np.array([0, 1]), np.eye(3)[[0, 1, 1, 1]])
    assert shares == pytest.approx([0.25, 0.75, 0.0])


def test_wrong_inputs_are_named():
    with pytest.raises(DataError, match="at least one image"):
        estimate_shares_em(np.zeros((0, 2)), EVEN)
    with pytest.raises(DataError, match="class shares are not valid"):
        estimate_shares_em(two_kinds(1, 1), np.array([0.5, 0.4]))
    with pytest.raises(DataError, match=r"expected 2 labels, 2 classes.*found 1 labels"):
        estimate_shares_bbse(two_kinds(1, 1), np.array([0]), two_kinds(1, 1))


def test_logits_are_corrected_as_posteriors_are():
    posteriors = np.random.default_rng(2).dirichlet([1.0, 1.0, 1.0], 20)
    source, target = np.array([0.2, 0.3, 0.5]), np.array([0.0, 0.4, 0.6])
    facts = {"images": 97, "dataset": "folder", "split": "all"}
    correction = ShareCorrection("em", ("a", "b", "c"), 2.0, source, target, 1.0, **facts)

    # at T = 2, logits are twice the logarithm; a share of 0 counts one image of 100
    logits = torch.from_numpy(2 * np.log(posteriors))
    corrected = correction.calibration().apply(logits).softmax(dim=1).numpy()
    smoothed = (97 * target + 1) / 100
    np.testing.assert_allclose(corrected, correct_posteriors(posteriors, source, smoothed))

    # with the power 0, the classes are as likely as each other: what UAR asks for
    alike = replace(correction, power=0.0).calibration().apply(logits).softmax(dim=1).numpy()
    np.testing.assert_allclose(alike, correct_posteriors(posteriors, source, np.full(3, 1 / 3)))


def test_shares_alone_change_predictions_but_no_weight(tiny, capsys):
    config = tiny("adapt.method=shares", "adapt.shares=bbse")
    result = adapt_model(config, quiet=True)
    assert_same_weights(load_file(f"{config.start}/model/model.safetensors"), load_weights(result))
    model = load_model(result.run.path)
    assert model.calibration.method == "vector"
    shares = result.run.read("adaptation.json")["class_shares"]
    assert shares["method"] == "bbse"
    for domain in ("source", "target"):
        assert list(shares[domain]) == list(model.classes)
        assert sum(shares[domain].values()) == pytest.approx(1)
    assert not np.allclose(*(p.probabilities for p in result.predictions))
    show_result(result)
    assert "┃ class shares ┃ source % ┃ target, estimated % ┃" in capsys.readouterr().out


def test_pseudo_labels_follow_the_estimated_shares(tiny, monkeypatch):
    agreed, real = [], AdaptationTask._pseudo_labels

    def watch(self, target, pixels):
        pseudo = real(self, target, pixels)
        expected = self.correction.apply(target.logits.detach()).argmax(dim=1)
        agreed.append(torch.equal(pseudo.labels, expected))
        return pseudo

    monkeypatch.setattr(AdaptationTask, "_pseudo_labels", watch)
    result = adapt_model(
        tiny("adapt.method=pseudo", "adapt.shares=em", "optim.epochs=1"), quiet=True
    )
    assert agreed
    assert all(agreed)
    assert load_model(result.run.path).calibration.fitted_on["class_shares"]["method"] == "em"


def test_shares_need_source_images(tiny):
    with pytest.raises(ConfigError, match=r"no source images for adapt\.shares"):
        tiny("adapt.method=entropy", "adapt.shares=em")
    with pytest.raises(ConfigError, match="no parts to weight"):
        tiny("adapt.method=shares", "adapt.weights={pseudo: 1}")


def test_functions_load_from_the_room():
    assert adapt.estimate_shares_em is estimate_shares_em
