"""WiSE-FT and model soups against plain arithmetic."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ke2nt import blend
from ke2nt.blending.alphas import parse_alphas
from ke2nt.blending.average import average_states
from ke2nt.blending.card import blended_card
from ke2nt.blending.choosing import ChoosingSplit
from ke2nt.blending.ingredients import read_ingredients
from ke2nt.data.tensors import FaceTensors
from ke2nt.datasets.catalog import load_dataset
from ke2nt.errors import ConfigError, Ke2ntError, ModelError
from ke2nt.evaluation.evaluate_model import EvaluationOptions, evaluate_model
from ke2nt.models.batch_norms import batch_norms
from ke2nt.models.load import load_model

FAST = {"device": "cpu", "bootstrap": 0}


def on(faces, split="test"):
    return f"folder={faces},split={split}"


def blend_fast(models, faces, **options):
    return blend(models, [on(faces)], **{**FAST, **options})


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0:1:0.25", (0, 0.25, 0.5, 0.75, 1)),
        ("0:1:0.1", tuple(i / 10 for i in range(11))),
        ("0.2:0.9:0.3", (0.2, 0.5, 0.8)),
        ("1,0.3,0", (0, 0.3, 1)),
        ("0.5", (0.5,)),
    ],
)
def test_alphas_are_read(text, values):
    assert parse_alphas(text) == pytest.approx(values, abs=1e-12)


@pytest.mark.parametrize("text", ["1.2", "-0.1,1", "0:2:0.5", "0:1:0", "1:0:0.1", "a", "0:1", ""])
def test_impossible_alphas_are_refused(text):
    with pytest.raises(ConfigError, match="alpha"):
        parse_alphas(text)


def test_average_is_plain_arithmetic():
    generator = torch.Generator().manual_seed(0)
    states = [
        {"w": torch.randn(3, 4, generator=generator), "n": torch.tensor(count)}
        for count in (3, 5, 9)
    ]
    shares = (0.2, 0.5, 0.3)
    averaged = average_states(states, shares)
    arrays = [state["w"].double().numpy() for state in states]
    for i, j in np.ndindex(3, 4):
        expected = sum(share * array[i, j] for share, array in zip(shares, arrays, strict=True))
        assert averaged["w"][i, j].item() == pytest.approx(expected, abs=1e-7)
    assert averaged["n"] == 5
    assert averaged["w"].dtype == torch.float32
    ends = average_states(states, (0.0, 0.0, 1.0))
    assert all(torch.equal(ends[name], value) for name, value in states[2].items())


def test_the_ends_of_the_curve_are_the_models(make_model, faces):
    folders = [make_model(1), make_model(2)]
    result = blend_fast(folders, faces, alphas="0,0.5,1")
    split = load_dataset("folder", faces, "test")
    for folder, point in ((folders[0], result.points[0]), (folders[1], result.points[2])):
        alone = evaluate_model(load_model(folder), split, policy="drop", **FAST)
        (there,) = point.evaluations.values()
        assert np.array_equal(there.predictions.probabilities, alone.predictions.probabilities)

    # between them: the mean of all tensors
    middle = load_model(folders[0])
    states = [load_model(folder).state_dict() for folder in folders]
    mean = {n: (v + states[1][n]) / 2 if v.is_floating_point() else v for n, v in states[0].items()}
    middle.load_state_dict(mean)
    expected = evaluate_model(middle, split, policy="drop", **FAST).predictions.probabilities
    (there,) = result.points[1].evaluations.values()
    np.testing.assert_allclose(there.predictions.probabilities, expected, atol=1e-6)


def test_the_best_on_validation_is_written_with_its_card(make_model, faces, tmp_path):
    folders = [make_model(1), make_model(3, name="tuned", data="ferplus")]
    result = blend_fast(folders, faces, alphas="0:1:0.25", metric="uar")
    scores = [point.score for point in result.points]
    assert result.best.score == max(scores)
    assert result.choice == {"dataset": "folder", "split": "val", "images": 30, "metric": "uar"}
    split = load_dataset("folder", faces, "val")

    result.save(tmp_path / "model")
    model = load_model(tmp_path / "model")
    report = evaluate_model(model, split, policy="drop", **FAST).report
    assert report.uar == pytest.approx(result.best.score)
    assert model.card["data"]["name"] == "ferplus"
    assert model.card["blended"]["data"] == ["ferplus"]
    assert [each["model"] for each in model.card["blended"]["models"]] == ["seed1", "tuned"]
    assert "seed" not in model.card
    card = (tmp_path / "model/README.md").read_text()
    assert "Average of weights** (interpolation)" in card
    assert "chosen by uar on 30 images of folder val" in card
    assert str(tmp_path.parent) not in card
    json.dumps(result.to_dict(), allow_nan=False)


def test_choosing_on_test_is_never_silent(make_model, faces):
    folders = [make_model(1), make_model(2)]
    result = blend_fast(folders, faces, alphas="0,1", choose_on=on(faces))
    assert any("OPTIMISTIC" in note for note in result.notes)
    (evaluation,) = result.model.card["evaluations"]
    assert any("OPTIMISTIC" in note for note in evaluation["notes"])
    quiet = blend_fast(folders, faces, alphas="0,1")
    assert not any("OPTIMISTIC" in note or "chosen" in note for note in quiet.notes)


def test_a_test_split_to_evaluate_on_never_chooses(make_model, faces):
    models, home = [make_model(1), make_model(2)], f"folder={faces},split=test"
    for choose_on in (None, f"folder={faces}"):
        result = blend(models, [home], alphas="0:1:1", choose_on=choose_on, bootstrap=0)
        assert result.choice["split"] == "val"
        assert not any("OPTIMISTIC" in note for note in result.notes)


def test_only_images_that_chose_make_metrics_optimistic(faces, tmp_path):
    def split(root):
        return SimpleNamespace(split=load_dataset("folder", root, "val"))

    shutil.copytree(faces / "val", tmp_path / "val")
    for path in sorted((tmp_path / "val").glob("*/*.png")):
        path.rename(path.with_stem(f"other{path.stem}"))
    choosing = ChoosingSplit(split(faces), "accuracy", EvaluationOptions())
    assert choosing.notes({"home": split(faces), "other": split(tmp_path)}) == [
        "the average was chosen on home; its metrics are optimistic"
    ]


def test_a_dataset_without_validation_images_is_refused(make_model, faces, tmp_path):
    for split in ("train", "test"):
        shutil.copytree(faces / split, tmp_path / split)
    models, home = [make_model(1), make_model(2)], f"folder={tmp_path},split=test"
    for choose_on in (None, f"folder={tmp_path}"):
        with pytest.raises(ConfigError, match=r"no validation split.*train, test.*--choose-on"):
            blend(models, [home], alphas="0:1:1", choose_on=choose_on, bootstrap=0)


def test_one_alpha_needs_no_choice(make_model, faces):
    result = blend_fast([make_model(1), make_model(2)], faces, alphas=[0.3])
    assert result.choice is None
    assert result.best.shares == pytest.approx((0.7, 0.3))
    assert result.best.score is None


# ---- soups


def test_greedy_soup_is_never_below_its_best_ingredient(make_model, faces):
    folders = [make_model(seed) for seed in (1, 2, 3, 4)]
    result = blend_fast(folders, faces, soup="greedy")
    assert [point.label for point in result.points][-1] == "greedy soup"
    scores = [point.score for point in result.points[:-1]]
    assert result.best.score >= max(scores)

    # slow oracle: the same rule with models averaged tensor by tensor
    split, states = (
        load_dataset("folder", faces, "val"),
        [load_model(f).state_dict() for f in folders],
    )

    def score(members):
        model = load_model(folders[0])
        parts = [states[i] for i in members]
        counts = {n: v for n, v in parts[0].items() if not v.is_floating_point()}
        means = {n: sum(p[n] for p in parts) / len(parts) for n in parts[0] if n not in counts}
        model.load_state_dict({**means, **counts})
        return evaluate_model(model, split, policy="drop", **FAST).report.accuracy

    order = sorted(range(4), key=lambda i: -score([i]))
    members = [order[0]]
    for i in order[1:]:
        if score([*members, i]) >= score(members):
            members.append(i)
    assert {i for i, share in enumerate(result.best.shares) if share} == set(members)


def test_uniform_soup_is_the_mean(make_model, faces):
    folders = [make_model(seed) for seed in (1, 2, 3)]
    result = blend_fast(folders, faces, soup="uniform")
    assert result.choice is None
    assert result.best.shares == pytest.approx((1 / 3,) * 3)
    states = [load_model(folder).state_dict() for folder in folders]
    for name, value in result.model.state_dict().items():
        if value.is_floating_point():
            mean = sum(state[name] for state in states) / 3
            torch.testing.assert_close(value, mean, rtol=1e-5, atol=1e-6)


# ---- batch normalization, logit scale


def test_recomputed_statistics_are_those_of_the_images(make_model, faces):
    folders = [make_model(1), make_model(2)]
    result = blend_fast(folders, faces, alphas="0.5", batch_norm="recompute")
    model, averaged = result.model, blend_fast(folders, faces, alphas="0.5").model
    layer, plain = batch_norms(model)[0], batch_norms(averaged)[0]
    assert not torch.allclose(layer.running_mean, plain.running_mean, atol=1e-3)
    assert any("measured on the choosing images" in note for note in result.notes)

    # oracle: mean and variance of the first convolution over all images, which fill one batch
    images = FaceTensors(load_dataset("folder", faces, "val"), 24)
    (batch,) = images.batches(30)
    maps = model.backbone.net.conv1[0](model.preprocessing.normalize(batch.pixels))
    torch.testing.assert_close(layer.running_mean, maps.mean(dim=(0, 2, 3)).detach())
    torch.testing.assert_close(layer.running_var, maps.var(dim=(0, 2, 3)).detach())

    ends = blend_fast(folders, faces, alphas="1", batch_norm="recompute").model
    original = load_model(folders[1]).state_dict()
    assert all(torch.equal(value, original[n]) for n, value in ends.state_dict().items())


def test_a_learned_scale_meets_a_fixed_one_in_the_logarithm(make_model, faces):
    folders = [make_model(1), make_model(5, learn_logit_scale=True, logit_scale=80.0)]
    result = blend_fast(folders, faces, alphas="0.5")
    assert float(result.model.logit_scale.detach()) == pytest.approx((20.0 * 80.0) ** 0.5, rel=1e-4)


# ---- what cannot be blended


def test_models_that_do_not_match_are_named(make_model):
    base = make_model(1)
    with pytest.raises(ModelError, match=r"different classes; expected anger, .*found fear"):
        read_ingredients([base, make_model(6, classes=("fear", "happiness", "neutral"))])
    with pytest.raises(ModelError, match="different text banks"):
        read_ingredients([base, make_model(7, bank_seed=2)])
    with pytest.raises(ModelError, match=r"differ in reduction; expected 4.*found 2"):
        read_ingredients([base, make_model(8, reduction=2)])
    with pytest.raises(ModelError, match=r"differ in logit_scale; expected 20.*found 50"):
        read_ingredients([base, make_model(9, logit_scale=50.0)])
    with pytest.raises(ConfigError, match="at least 2"):
        read_ingredients([base])


def test_other_tensors_are_named(make_model):
    from ke2nt.blending.ingredients import _check_tensors

    states = [
        {"a": torch.zeros(2), "b": torch.zeros(3)},
        {"a": torch.zeros(4), "c": torch.zeros(1)},
    ]
    with pytest.raises(ModelError, match=r"3 parameters.*expected a \[2\], as in x; found a \[4\]"):
        _check_tensors(("x", "y"), states)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alphas": [1.5]}, "expected numbers from 0 to 1"),
        ({"soup": "greedy", "alphas": "0.5"}, "a soup has no alpha"),
        ({"soup": "thick"}, "unknown soup"),
        ({"metric": "recall"}, "unknown metric"),
    ],
)
def test_impossible_options_are_refused(make_model, faces, options, message):
    with pytest.raises(Ke2ntError, match=message):
        blend_fast([make_model(1), make_model(2)], faces, **options)


def test_three_models_need_a_soup(make_model, faces):
    with pytest.raises(ModelError, match="two models are interpolated"):
        blend_fast([make_model(seed) for seed in (1, 2, 3)], faces)


def test_what_was_fitted_to_one_of_the_models_is_dropped():
    scale = {"zero": {}, "unit": {}}
    prior = {"data": {"a": 1.0}, "logits": {"a": 1.0}}
    first = {"data": {"name": "x"}, "class_prior": prior, "predict": {"intensity": scale}}
    card = blended_card([first, first], {}, [], [])
    assert card["class_prior"] == prior
    assert "predict" not in card

    # models that carry other class shares
    assert "class_prior" not in blended_card([{}, first], {}, [], [])
