"""Class priors: how they are read, what they do to probabilities, and where they are stored."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from ke2nt.errors import CheckpointError, ConfigError, ModelError
from ke2nt.models.calibration import Calibration
from ke2nt.models.class_prior import ClassPrior
from ke2nt.models.load import load_model
from ke2nt.models.prior_values import read_prior
from ke2nt.models.set_prior import assumed_prior, set_prior

CLASSES = ("neutral", "happiness", "anger", "fear")
SHARES = (0.5, 0.25, 0.15, 0.1)
NATURAL = dict(zip(CLASSES, SHARES, strict=True))
LOGITS = torch.tensor([[1.0, 0.2, -0.5, 2.0], [0.0, 3.0, 0.5, 0.1]], dtype=torch.float64)


@pytest.fixture
def model(linear):
    linear.card = {"class_prior": ClassPrior(NATURAL, NATURAL).to_dict()}
    return linear


def probabilities(model, logits=LOGITS):
    calibration = model.calibration or Calibration()
    return calibration.apply(logits).softmax(dim=-1)


def test_even_prior_is_the_posterior_over_the_prior(model):
    set_prior(model, "even")
    expected = LOGITS.softmax(dim=-1) / torch.tensor(SHARES, dtype=torch.float64)
    expected /= expected.sum(dim=-1, keepdim=True)
    torch.testing.assert_close(probabilities(model), expected)
    assert model.calibration.prior == dict.fromkeys(CLASSES, 0.25)
    assert not model.calibration.is_fitted


def test_natural_prior_is_the_identity(model):
    set_prior(model, "even")
    set_prior(model, "natural")
    assert torch.equal(probabilities(model), LOGITS.softmax(dim=-1))
    assert model.calibration.offsets is None


def test_any_shares_by_hand(model):
    set_prior(model, {"happy": 1, "neutral": 1, "anger": 2, "fear": 0})
    found = probabilities(model)
    odds = LOGITS.softmax(dim=-1)[0]
    # p(anger) : p(happiness), each times its new share over its old one
    expected = odds[2] * (0.5 / 0.15) / (odds[1] * (0.25 / 0.25))
    assert found[0, 2] / found[0, 1] == pytest.approx(expected.item())
    assert found[:, 3].max() < 1e-4


def test_prior_comes_after_the_temperature(model):
    model.calibration = Calibration(temperature=2.0, fitted_on={"dataset": "x"})
    set_prior(model, "even")
    # Bayes' rule is for calibrated posteriors
    calibrated = (LOGITS / 2).softmax(dim=-1) / torch.tensor(SHARES, dtype=torch.float64)
    expected = calibrated / calibrated.sum(dim=-1, keepdim=True)
    torch.testing.assert_close(probabilities(model), expected)
    assert model.calibration.is_fitted


def test_prior_of_biases_is_that_of_their_images(model):
    shares = [0.1, 0.2, 0.3, 0.4]
    vector = Calibration("vector", weight=(1, 1, 1, 1), bias=(0.1, 0, 0, 0.2))
    model.calibration = replace(vector, fitted_on={"class_shares": shares})
    set_prior(model, "even")
    torch.testing.assert_close(
        torch.tensor(model.calibration.offsets), (0.25 / torch.tensor(shares)).log()
    )


def test_logits_that_carry_even_shares_become_natural(linear):
    even = dict.fromkeys(CLASSES, 0.25 * (1 + 1e-12))
    linear.card = {"class_prior": ClassPrior(NATURAL, even).to_dict()}
    set_prior(linear, "even")
    assert linear.calibration.offsets is None
    set_prior(linear, "natural")
    expected = LOGITS.softmax(dim=-1) * torch.tensor(SHARES, dtype=torch.float64)
    torch.testing.assert_close(probabilities(linear), expected / expected.sum(-1, keepdim=True))


def test_numbers_lie_between_natural_and_even(model):
    set_prior(model, 0.5)
    roots = torch.tensor(SHARES).sqrt()
    found = torch.tensor([*model.calibration.prior.values()])
    torch.testing.assert_close(found, roots / roots.sum())


def test_prior_ends_with_its_block_and_with_other_classes(model):
    with assumed_prior(model, "even"):
        assert model.calibration.offsets
        calibration = replace(model.calibration, temperature=3.0)
    assert model.calibration is None
    other = calibration.for_other_texts()
    assert (other.temperature, other.offsets, other.prior) == (3.0, None, {})
    assert Calibration(offsets=(1.0, 2.0)).for_other_texts() is None


def test_prior_and_thresholds_are_saved(model, tmp_path):
    model.card["data"] = {"name": "album"}
    set_prior(model, "even")
    model.calibration = replace(model.calibration, class_min_confidence=(0.5, 0.4, 0.3, 0.2))
    model.save_pretrained(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.calibration == model.calibration
    assert loaded.calibration.thresholds(4) == (0.5, 0.4, 0.3, 0.2)
    text = (tmp_path / "model" / "README.md").read_text()
    assert "Class shares**: neutral 50.0 %, happiness 25.0 %" in text
    assert "assume the class shares neutral 25.0 %" in text

    # those of older versions have none of the new fields
    stored = Calibration(temperature=2.0, min_confidence=0.6).to_dict()
    assert not {"offsets", "prior", "class_min_confidence"} & stored.keys()
    assert Calibration.from_dict(stored).thresholds(2) == (0.6, 0.6)


def test_models_without_shares_have_only_the_natural_prior(linear):
    set_prior(linear, "natural")
    assert linear.calibration.offsets is None
    with pytest.raises(ModelError, match=r"does not store the class shares.*--shares-of"):
        set_prior(linear, "even")
    linear.card = {"class_prior": {"data": NATURAL}}
    with pytest.raises(CheckpointError, match="are damaged"):
        set_prior(linear, "even")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"neutral": 1, "happiness": 1}, "does not name each class"),
        ({**NATURAL, "happy": 0.1}, "does not name each class"),
        ({**NATURAL, "boredom": 0.1}, "names 'boredom'"),
        ("evne", r"unknown class prior 'evne'.*Did you mean 'even'"),
        ("1.5", "unknown class prior"),
        ("neutral=a", "has no shares"),
        ({"neutral": -1}, "are not valid"),
        ({"neutral": 0}, "are not valid"),
        ("none.json", r"cannot be read \(in none.json\); .*; found no such file"),
        ("neutral=1,neutral=2", "names 'neutral' twice"),
    ],
)
def test_wrong_priors(model, value, words):
    with pytest.raises(ConfigError, match=words):
        set_prior(model, value)


def test_a_file_that_does_not_fit_the_model_is_named(model, tmp_path):
    path = tmp_path / "shares.csv"
    path.write_text("neutral,1\nhappiness,2\n")
    with pytest.raises(ConfigError, match=r"does not name each class.*shares\.csv"):
        set_prior(model, path)

    path.write_text("neutral,1\nboredom,2\n")
    with pytest.raises(ConfigError, match=r"names 'boredom'.*shares\.csv"):
        set_prior(model, str(path))


def test_names_texts_and_files_are_read(tmp_path):
    assert (read_prior("natural"), read_prior("even"), read_prior("0.25")) == (1.0, 0.0, 0.25)
    expected = {"a": 0.75, "b": 0.25}
    assert read_prior("a=3, b=1") == read_prior({"a": 0.75, "b": 0.25}) == expected
    contents = {
        "x.json": json.dumps({"a": 3, "b": 1}),
        "x.yaml": "a: 0.3\nb: 0.1\n",
        "x.csv": "class,share\na,0.75\nb,0.25\n",
    }
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
        assert read_prior(tmp_path / name) == pytest.approx(expected)
    (tmp_path / "x.csv").write_text("class\na\n")
    with pytest.raises(ConfigError, match="two columns"):
        read_prior(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.json", b'{"a": 1, "a": 2}', "names 'a' twice"),
        ("x.csv", b"a,1\na,2\n", "names 'a' twice"),
        ("x.yaml", b"a: 1\na: 2\n", "given twice"),
        (
            "x.json",
            b"{",
            r"expected UTF-8 text with a share for each class.*found text that is not",
        ),
        ("x.yaml", b"\xff\xfe\x00", "found bytes that are not UTF-8"),
    ],
)
def test_broken_files_say_what_was_expected(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        read_prior(tmp_path / name)
    assert "\n" not in str(caught.value)
