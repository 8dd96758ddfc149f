"""The comparison of both models, its report, and unusual targets."""

from __future__ import annotations

import json
import os

import pytest
import torch
from adapt_domains import draw
from adapted_weights import assert_same_weights, load_weights

from ke2nt.adapt.adapt_model import adapt
from ke2nt.errors import ConfigError, LabelError, TrainingError


def test_flip_tta_applies_to_all_predictions(tiny):
    result = adapt(tiny("select.flip_tta=true"), quiet=True)
    figures = result.run.read("adaptation.json")["figures"]
    assert figures["before"]["flip_tta"] is figures["after"]["flip_tta"] is True
    plain = adapt(tiny(out="plain"), quiet=True)
    assert_same_weights(load_weights(plain), load_weights(result))  # the last epoch is kept
    assert abs(plain.after.report.nll - result.after.report.nll) > 1e-6
    first, second = (r.run.path.joinpath("log.jsonl").read_text() for r in (plain, result))
    first, second = (json.loads(log.splitlines()[-1])["target"] for log in (first, second))
    assert abs(first["information"] - second["information"]) > 1e-6


def test_models_are_compared_on_the_training_device(tiny, monkeypatch):
    import ke2nt.adapt.compare_models as module

    devices, real = [], module.compute_predictions

    def spied(model, *arguments, device=None, **options):
        devices.append(device)
        monkeypatch.setattr(model, "to", lambda place: devices.append(place), raising=False)
        return real(model, *arguments, device=device, **options)

    monkeypatch.setattr(module, "compute_predictions", spied)
    adapt(tiny("optim.epochs=1"), quiet=True)
    asked, back = devices[:-2], devices[-2:]
    assert asked == [torch.device("cpu")] * 8  # of predict, which moves the model there
    assert back == ["cpu", "cpu"]


def test_collapse_is_detected_and_reported(tiny):
    losses = "adapt.weights={pseudo: 100.0}"
    config = tiny("adapt.method=pseudo", losses, "optim.lr=1.0", "adapt.ramp=0", "optim.ema=null")
    result = adapt(config, quiet=True)
    assert result.changes.after.metrics.collapsed
    assert result.trust.level == "do not use"
    assert "a collapse" in result.trust.reasons[0]
    assert result.facts["after"]["collapsed"] is True


def test_unlabeled_images_give_a_comparison_without_metrics(tiny, domains):
    result = adapt(tiny(f"target.root={domains}/bare", "optim.epochs=1"), quiet=True)
    assert (result.before, result.after) == (None, None)
    assert result.facts["figures"] == {"before": None, "after": None}
    assert result.changes.num_images == 30
    assert any("hundreds are needed" in reason for reason in result.trust.reasons)


def test_very_small_domain_works_and_is_reported(tiny, tmp_path):
    draw(tmp_path / "few", 1, shift=0.5, seed=5)
    (tmp_path / "few" / "anger" / "anger0.png").unlink()
    result = adapt(tiny(f"target.root={tmp_path}/few", "optim.epochs=1"), quiet=True)
    assert result.changes.num_images == 2
    text = " ".join(result.trust.reasons)
    assert "adapted to 2 images" in text
    assert "42 source images, 2 target images" in text


def test_target_without_a_shared_class_is_refused_before_training(tiny, tmp_path):
    draw(tmp_path / "other", 2, shift=0.5, seed=5, classes=("fear", "disgust"))
    config = tiny(f"target.root={tmp_path}/other")
    with pytest.raises(LabelError, match="share no class"):
        adapt(config, quiet=True)
    assert not os.path.exists(config.out)


def test_no_image_of_a_shared_class_keeps_the_model(tiny, tmp_path):
    """The label sets share a class, but no image has it: the model is saved without metrics."""
    draw(tmp_path / "other", 2, shift=0.5, seed=5, classes=("fear",))
    options = "target.options={classes: [neutral, fear]}"
    result = adapt(tiny(f"target.root={tmp_path}/other", options, "optim.epochs=1"), quiet=True)
    assert result.after is None
    assert "dropped from the data: fear" in result.facts["labels"]
    assert result.run.read("run.json")["status"] == "finished"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["adapt.teacher=average", "optim.ema=null"], "running average"),
        (["adapt.method=entropy", "adapt.weights={metric: 1}"], "no parts to weight"),
        (["adapt.method=statistics", "adapt.choose=source"], "no source images for adapt"),
        (["adapt.methd=dann"], "did you mean adapt.method"),
        (["adapt.weights={metrc: 1}"], "metrc"),
    ],
)
def test_invalid_configuration_raises_a_clear_error(tiny, overrides, words):
    with pytest.raises(ConfigError, match=words):
        tiny(*overrides)


def test_report_shows_changes_and_trust(tiny, with_report):
    result = adapt(tiny("optim.epochs=1"), quiet=True, command="ke2nt adapt x")
    page = result.run.report.read_text(encoding="utf-8")
    for words in (
        result.trust.sentence(),
        "The predicted class changed for",
        "Without labels",
        "Predictions by class",
        "Against the target&#39;s labels",
        "distance of the domains",
        "The most confident predictions that changed",
        "Kept: last epoch",
        "No label of the target was used",
        "ke2nt adapt x",
    ):
        assert words in page, words
    assert result.run.read("adaptation.json")["figures"]["after"]["n"] == 30
    card = (result.run.model / "README.md").read_text(encoding="utf-8")
    assert "**Adapted** to 30 images of folder all with the method dmsrl, without" in card
    assert "Metrics: folder all" in card


@pytest.mark.parametrize("method", ["dmsrl", "entropy"])
def test_messages_name_the_command(tiny, method):
    with pytest.raises(TrainingError, match="found ke2nt adapt, 1 process"):
        adapt(tiny(f"adapt.method={method}", "cuda_graphs=true"), quiet=True)
