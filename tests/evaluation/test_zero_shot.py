"""Zero-shot evaluation on a small CLIP that has learnt something."""

from __future__ import annotations

import dataclasses
import gc
import json
import shutil

import numpy as np
import open_clip
import pytest
import torch
from scipy.special import softmax

from ke2nt.banks.text_bank import TextBank
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.errors import LabelError, ModelError, PromptError
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.evaluation.image_encoders import get_image_encoder
from ke2nt.evaluation.zero_shot import class_logits, score_text_bank, zero_shot
from ke2nt.models.ke2nt import KE2NT
from ke2nt.prompts.prompt_set import PromptSet

CHANCE = 0.25


@pytest.fixture(scope="module")
def spec(small_clip):
    return f"open_clip:{small_clip.open_clip}"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def accuracy(encoder, split, prompts="ensemble", **options):
    return zero_shot(encoder, prompts, split, bootstrap=0, **options).evaluation.report.accuracy


def test_expressions_of_new_people_are_recognized(small_clip, spec, cache):
    split = small_clip.split
    for prompts in ("simple", "ensemble", "synonyms"):
        assert accuracy(spec, split, prompts, cache_dir=cache) > 2 * CHANCE
    shuffled = PromptSet(
        name="shuffled",
        templates=["a photo of a {class} face."],
        classes={
            "neutral": ["happy"],
            "happiness": ["surprised"],
            "surprise": ["angry"],
            "anger": ["neutral"],
        },
    )
    assert accuracy(spec, split, shuffled, cache_dir=cache) < CHANCE


def test_both_libraries_predict_the_same(small_clip, spec, cache):
    first = zero_shot(spec, "ensemble", small_clip.split, cache_dir=cache, bootstrap=0)
    other = f"transformers:{small_clip.transformers}"
    second = zero_shot(other, "ensemble", small_clip.split, cache_dir=cache, bootstrap=0)
    # The images have the model's size already, so that no resize can differ.
    np.testing.assert_allclose(
        first.evaluation.predictions.probabilities,
        second.evaluation.predictions.probabilities,
        atol=1e-4,
    )
    np.testing.assert_allclose(first.bank.embeddings, second.bank.embeddings, rtol=0, atol=1e-5)


@pytest.mark.parametrize("prompts", ["ensemble", "simple"])
def test_classifier_matches_open_clip(small_clip, spec, prompts):
    words = PromptSet.load(prompts)
    classes = small_clip.split.classes
    model = open_clip.create_model(f"local-dir:{small_clip.open_clip}").eval()
    theirs = open_clip.build_zero_shot_classifier(
        model,
        open_clip.get_tokenizer(f"local-dir:{small_clip.open_clip}"),
        list(classes),
        [lambda name, i=i: words.render(name)[i] for i in range(len(words.templates))],
    )
    ours = TextBank.build(words, spec, classes).embeddings
    torch.testing.assert_close(ours.T, theirs, rtol=0, atol=1e-6)


def padded(split, factor):
    """The same faces in the middle of wide images."""
    samples = []
    for sample in split.samples:
        side = sample.source.shape[0]
        wide = np.full((side, factor * side, 3), 128, np.uint8)
        start = (factor - 1) * side // 2
        wide[:, start : start + side] = sample.source
        samples.append(dataclasses.replace(sample, source=wide))
    return dataclasses.replace(split, samples=tuple(samples))


def changed(small_clip, folder, **settings):
    shutil.copytree(small_clip.open_clip, folder)
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["preprocess_cfg"].update(settings)
    path.write_text(json.dumps(config))
    return f"open_clip:{folder}"


def test_a_wrong_resize_lowers_the_accuracy(small_clip, spec, cache, tmp_path):
    right = accuracy(spec, padded(small_clip.split, 3), cache_dir=cache)
    assert right == accuracy(spec, small_clip.split, cache_dir=cache)  # the crop takes the middle
    squashed = changed(small_clip, tmp_path / "squash", resize_mode="squash")
    wrong = accuracy(squashed, padded(small_clip.split, 3), cache_dir=cache)
    assert wrong < right - 0.15


def test_a_wrong_normalization_lowers_the_accuracy(small_clip, spec, cache, tmp_path):
    none = changed(small_clip, tmp_path / "none", mean=[0.0, 0.0, 0.0], std=[1.0, 1.0, 1.0])
    wrong = accuracy(none, small_clip.split, cache_dir=cache)
    assert wrong < accuracy(spec, small_clip.split, cache_dir=cache) - 0.1


def test_metrics_match_the_logits(small_clip, spec, cache):
    result = zero_shot(spec, "simple", small_clip.split, cache_dir=cache, bootstrap=50)
    images, bank = result.images, result.bank
    logits = np.stack(
        [
            [images.logit_scale * float(np.dot(image.astype(np.float64), text)) for text in words]
            for words in [bank.embeddings.double().numpy()]
            for image in np.asarray(images.embeddings)
        ]
    )
    np.testing.assert_allclose(class_logits(images, bank), logits, rtol=0, atol=1e-9)
    predictions = result.evaluation.predictions
    np.testing.assert_allclose(predictions.probabilities, softmax(logits, axis=1), atol=1e-9)
    right = logits.argmax(axis=1) == small_clip.split.labels()
    assert result.evaluation.report.accuracy == pytest.approx(right.mean())
    value = json.loads(json.dumps(result.to_dict()))
    assert value["dataset"] == "drawn"
    assert value["prompts"] == "simple"
    assert value["encoder"] == spec
    assert len(value["intervals"]["uar"]) == 2
    assert "generalized" not in value


def test_second_prompt_set_loads_no_image_encoder(small_clip, spec, tmp_path, monkeypatch):
    split = small_clip.split
    first = zero_shot(spec, "simple", split, cache_dir=tmp_path, bootstrap=0)
    for name in ("load", "preprocess"):
        monkeypatch.setattr(
            f"ke2nt.vlm.open_clip.OpenClipModel.{name}", lambda *_: pytest.fail("image encoder")
        )
    second = zero_shot(spec, "synonyms", split, cache_dir=tmp_path, bootstrap=0)
    assert np.array_equal(first.images.embeddings, second.images.embeddings)
    monkeypatch.setattr(open_clip, "create_model", lambda *a, **k: pytest.fail("any encoder"))
    again = zero_shot(spec, "simple", split, cache_dir=tmp_path, bootstrap=0)
    assert again.evaluation.report.accuracy == first.evaluation.report.accuracy


def test_both_towers_are_loaded_at_once(small_clip, spec, tmp_path, monkeypatch):
    gc.collect()  # a model of an earlier test that is still alive would be taken again
    made = []
    real = open_clip.create_model
    monkeypatch.setattr(open_clip, "create_model", lambda *a, **k: made.append(a) or real(*a, **k))
    encoder = get_image_encoder(spec, cache_dir=tmp_path)
    zero_shot(encoder, "simple", small_clip.split, cache_dir=tmp_path, bootstrap=0)
    assert len(made) == 1


def relabeled(split, classes, index):
    """The split in another label set: old index → new one."""
    samples = tuple(dataclasses.replace(s, label=index[s.label]) for s in split.samples)
    return dataclasses.replace(split, classes=classes, samples=samples)


def test_label_policies(small_clip, spec, cache):
    split = small_clip.split
    whole = zero_shot(spec, "simple", split, cache_dir=cache, bootstrap=0)
    assert whole.bank.classes == split.classes  # strict: of the set's eight, those of the data

    kept = zero_shot(spec, "simple", split, policy="keep", cache_dir=cache, bootstrap=0)
    assert set(kept.bank.classes) == set(PromptSet.load("simple").classes)
    assert set(kept.evaluation.mapping.unused) == {"sadness", "disgust", "fear", "contempt"}
    assert kept.evaluation.report.accuracy <= whole.evaluation.report.accuracy

    masked = zero_shot(spec, "simple", split, policy="drop", cache_dir=cache, bootstrap=0)
    assert masked.evaluation.report.accuracy == whole.evaluation.report.accuracy
    assert "masked out" in masked.evaluation.mapping.describe()

    strange = relabeled(split, (*split.classes[:3], "boredom"), [0, 1, 2, 3])
    with pytest.raises(LabelError, match="label sets differ"):
        zero_shot(spec, "simple", strange, cache_dir=cache)
    without = zero_shot(spec, "simple", strange, policy="drop", cache_dir=cache, bootstrap=0)
    count = int((split.labels() == 3).sum())
    assert without.evaluation.dropped == {"boredom": count}
    assert without.evaluation.report.n == len(split) - count
    read_as = zero_shot(
        spec, "simple", strange, merge={"boredom": "anger"}, cache_dir=cache, bootstrap=0
    )
    assert read_as.evaluation.report.accuracy == whole.evaluation.report.accuracy
    assert read_as.evaluation.mapping.describe() == "boredom → anger"

    three = zero_shot(
        spec,
        "simple",
        split,
        classes=("anger", "neutral", "happiness"),
        policy="drop",
        cache_dir=cache,
        bootstrap=0,
    )
    assert set(three.evaluation.report.classes) == {"anger", "neutral", "happiness"}
    with pytest.raises(PromptError, match="boredom"):
        zero_shot(spec, "simple", split, classes=("boredom", *split.classes), policy="keep")


def test_labels_are_checked_before_anything_is_embedded(small_clip, spec, monkeypatch):
    monkeypatch.setattr(
        "ke2nt.evaluation.zero_shot.embed_split", lambda *a, **k: pytest.fail("ran")
    )
    strange = relabeled(small_clip.split, ("a", "b", "c", "d"), [0, 1, 2, 3])
    with pytest.raises(LabelError):
        zero_shot(spec, "simple", strange)


SEEN = ("neutral", "happiness", "surprise")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model of three classes, not trained; its text side is minilm."""
    torch.manual_seed(3)
    home = tmp_path_factory.mktemp("run")
    KE2NT(TextBank.build("simple", classes=SEEN), "test_resnet", 32).save_pretrained(home / "model")
    return home


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(0)
    samples = tuple(
        FaceSample(str(i), rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), i % 5)
        for i in range(60)
    )
    return FaceSplit("noise", "test", (*SEEN, "fear", "contempt"), samples)


def test_trained_model_with_its_own_words_matches_evaluate_model(run, noise, cache):
    split = dataclasses.replace(
        noise, classes=SEEN, samples=tuple(s for s in noise.samples if s.label < 3)
    )
    ours = zero_shot(f"run:{run}", "simple", split, cache_dir=cache, bootstrap=0)
    theirs = evaluate_model(KE2NT.from_pretrained(run), split, bootstrap=0)
    np.testing.assert_allclose(
        ours.evaluation.predictions.probabilities, theirs.predictions.probabilities, atol=1e-5
    )
    assert ours.generalized is None


def test_trained_model_predicts_unseen_classes(run, noise, cache):
    result = zero_shot(f"run:{run}", "simple", noise, cache_dir=cache, bootstrap=200)
    assert result.bank.classes == noise.classes
    metrics = result.generalized
    assert metrics.seen_classes == SEEN
    assert metrics.unseen_classes == ("fear", "contempt")
    guess = result.evaluation.predictions.probabilities.argmax(axis=1)
    right, labels = guess == noise.labels(), noise.labels()
    assert metrics.seen.accuracy == pytest.approx(right[labels < 3].mean())
    assert metrics.unseen.accuracy == pytest.approx(right[labels >= 3].mean())
    assert (metrics.n_seen, metrics.n_unseen) == (36, 24)
    assert result.to_dict()["generalized"]["unseen_classes"] == ["fear", "contempt"]


def test_text_of_another_encoder_is_refused(run, noise, spec, cache):
    images = zero_shot(f"run:{run}", "simple", noise, cache_dir=cache, bootstrap=0).images
    with pytest.raises(ModelError, match="differ in width"):
        score_text_bank(images, TextBank.build("simple", spec, noise.classes))
