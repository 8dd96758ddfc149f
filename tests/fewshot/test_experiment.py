"""Whole experiments on a tiny model and folder: draws, storing, continuing, saved models."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_text_towers import open_clip_folder

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.find_model import find_model_folder
from ke2nt.checkpoints.model_folder import update_folder
from ke2nt.data.sample import FaceSplit
from ke2nt.datasets.catalog import get_reader
from ke2nt.errors import ConfigError, DataError, LabelError, ModelError, PromptError
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.evaluation.image_encoders import get_image_encoder
from ke2nt.fewshot import experiment, few_shot, methods
from ke2nt.fewshot.cell import read_cell, write_cell
from ke2nt.fewshot.names import METHOD_NAMES
from ke2nt.fewshot.saved_models import save_models
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.load import load_model
from ke2nt.predict.face_settings import FaceSettings
from ke2nt.predict.intensity import compute_intensity
from ke2nt.predict.recognizer import Recognizer

# tests/fewshot/test_coop.py has the method that runs a text tower
FAST = tuple(name for name in METHOD_NAMES if name != "coop")
CLASSES = ("anger", "happiness", "neutral")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "run"
    torch.manual_seed(3)
    bank = TextBank.build("paper", classes=["neutral", "happiness", "anger"])
    KE2NT(bank, backbone="test_resnet", image_size=24).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return write_faces(tmp_path_factory.mktemp("faces"), {"train": 12, "val": 5})


def write_faces(root, counts):
    """Each class is bright in another place."""
    rng = np.random.default_rng(0)
    for split, count in counts.items():
        for k, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 140, (24, 24, 3), "u1")
                pixels[8 * k : 8 * k + 8] += 100
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return root


@pytest.fixture
def run(model, faces, tmp_path):
    """Run an experiment; return its result."""

    def call(root=faces, encoder=f"run:{model}", prompts="paper", **fields):
        reader = get_reader("folder", root)
        fields = {"shots": (1, 2), "seeds": (1, 2), "bootstrap": 20, "device": "cpu", **fields}
        fields.setdefault("methods", FAST)
        splits = (reader.load("train"), reader.load("val"))
        return few_shot(encoder, prompts, *splits, cache_dir=tmp_path / "cache", **fields)

    return call


def test_every_method_shots_and_seed_is_a_cell(run, tmp_path):
    result = run(shots=(1, "all"), out=tmp_path / "out")
    names = [cell.name for cell in result.cells]
    assert len(set(names)) == len(names) == 1 + 3 + 4 * 4
    assert {"zero-shot", "linear-probe-all-1", "tip-adapter-1-2", "clip-adapter-all-2"} <= set(
        names
    )
    assert "linear-probe-all-2" not in names
    assert sorted(path.stem for path in (tmp_path / "out" / "cells").iterdir()) == sorted(names)

    # more images of classes that differ clearly make better classifiers
    rows = {(row.method, row.shots): row for row in result.rows()}
    assert rows["linear-probe", "all"].metrics["uar"].value > 0.7
    assert len(rows["tip-adapter", 1].cells) == 2
    uar = rows["tip-adapter", 1].metrics["uar"]
    each = [result.report(cell).uar for cell in rows["tip-adapter", 1].cells]
    assert uar.value == pytest.approx(np.mean(each))
    assert uar.deviation == pytest.approx(np.std(each, ddof=1))
    low, high = uar.interval
    assert low <= uar.value <= high

    # names of all images, and none of them is judged on
    draws = json.loads((tmp_path / "out" / "draws.json").read_text())["draws"]
    assert [(d["shots"], len(d["train"]), len(d["validation"])) for d in draws] == [
        (1, 3, 3), (1, 3, 3), ("all", 33, 3)
    ]  # fmt: skip
    value = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert len(value["cells"]) == 20
    assert value["rows"][0]["method"] == "zero-shot"
    assert value["rows"][0]["accuracy"]["deviation"] is None


def test_an_interrupted_experiment_continues(run, tmp_path, monkeypatch):
    names = ("tip-adapter", "clip-adapter")
    whole = run(methods=names, out=tmp_path / "whole")
    fitted = []

    def fit(name, task, stop_at):
        if len(fitted) == stop_at:
            raise KeyboardInterrupt
        fitted.append(name)
        return methods.METHODS[name](task)

    def patch(stop_at):
        patched = {n: (lambda task, n=n: fit(n, task, stop_at)) for n in METHOD_NAMES}
        monkeypatch.setattr(experiment, "METHODS", patched)

    patch(3)
    with pytest.raises(KeyboardInterrupt):
        run(methods=names, out=tmp_path / "out")
    assert len(list((tmp_path / "out" / "cells").iterdir())) == 3

    # a damaged file counts as none
    (tmp_path / "out" / "cells" / "tip-adapter-1-1.safetensors").write_bytes(b"cut")
    patch(99)
    fitted.clear()
    result = run(methods=names, out=tmp_path / "out")
    assert len(fitted) == 8 - 2
    for cell, expected in zip(result.cells, whole.cells, strict=True):
        assert cell.name == expected.name
        assert torch.equal(cell.logits, expected.logits)
        assert cell.fitted.chosen == expected.fitted.chosen

    # more of everything reuses what is there
    fitted.clear()
    run(methods=(*names, "linear-probe"), shots=(1, 2, 4), seeds=(1,), out=tmp_path / "out")
    assert fitted == ["linear-probe", "linear-probe", "linear-probe", "tip-adapter", "clip-adapter"]


def test_other_settings_need_another_folder(run, tmp_path):
    run(methods=("zero-shot",), out=tmp_path / "out")
    with pytest.raises(ConfigError, match=r"prompts differs.*expected simple; found paper"):
        run(methods=("zero-shot",), prompts="simple", out=tmp_path / "out")


def test_unreadable_images_are_replaced_and_named(run, faces, tmp_path):
    root = shutil.copytree(faces, tmp_path / "faces")
    whole = run(root, methods=("tip-adapter",), seeds=(1,))
    drawn = [s.name for s in whole.draws[-1].train.samples]
    (root / drawn[0]).write_bytes(b"no image")
    result = run(root, methods=("tip-adapter",), seeds=(1,))
    assert list(result.failed) == [drawn[0]]
    for draw in result.draws:
        assert len(draw.train) == 3 * draw.shots
        assert drawn[0] not in {sample.name for sample in draw.train.samples}


def test_only_drawn_images_are_embedded(run, faces, tmp_path, monkeypatch):
    root = shutil.copytree(faces, tmp_path / "faces")
    drawn = {s.name for d in run(methods=("zero-shot",)).draws for s in d.train.samples}
    drawn |= {s.name for d in run(methods=("zero-shot",)).draws for s in d.validation.samples}
    for path in (root / "train").rglob("*.png"):
        if str(path.relative_to(root)) not in drawn:
            path.write_bytes(b"no image")
    assert run(root, methods=("zero-shot",)).failed == {}


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        (
            {"shots": (12,)},
            DataError,
            "too few samples for 12 shots.*neutral 11, happiness 11, anger 11",
        ),
        ({"methods": ("tipadapter",)}, ConfigError, "Did you mean 'tip-adapter'"),
        ({"prompts": "papr"}, PromptError, "Did you mean 'paper'"),
        ({"encoder": "run:nowhere"}, Exception, "no saved model"),
    ],
)
def test_nothing_is_written_for_wrong_input(run, tmp_path, fields, error, message):
    with pytest.raises(error, match=message):
        run(out=tmp_path / "out", **fields)
    assert not (tmp_path / "out").exists()


def test_words_that_the_encoder_reads_as_one_are_refused_before_images_are_embedded(
    run, tmp_path, monkeypatch
):
    monkeypatch.setattr(experiment, "embed_draws", lambda *_: pytest.fail("embedded images"))
    words = "classes: {neutral: [calm], happiness: [glad], anger: [GLAD]}\ntemplates: ['{class}']\n"
    (tmp_path / "words.yaml").write_text(words)
    with pytest.raises(PromptError, match=r"cannot tell some classes apart.*happiness.*anger"):
        run(prompts=str(tmp_path / "words.yaml"), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_splits_with_other_classes_are_refused(model, faces):
    reader = get_reader("folder", faces)
    train = reader.load("train")
    other = reader.load("val").__class__("folder", "val", CLASSES[:2], ())
    with pytest.raises(LabelError, match="label sets differ"):
        few_shot(f"run:{model}", "paper", train, other)


def test_one_class_is_refused(model, faces):
    reader = get_reader("folder", faces)
    train, val = (reader.load(split) for split in ("train", "val"))
    train, val = (FaceSplit(s.dataset, s.split, ("anger",), s.samples[:5]) for s in (train, val))
    with pytest.raises(DataError, match=r"all images show one class.*found anger"):
        few_shot(f"run:{model}", "paper", train, val)


def test_damaged_settings_are_written_again(run, tmp_path):
    run(out=tmp_path / "out", shots=(1,), seeds=(1,), methods=("linear-probe",))
    settings = (tmp_path / "out" / "settings.json").read_text()
    (tmp_path / "out" / "settings.json").write_text("[]")
    run(out=tmp_path / "out", shots=(1,), seeds=(1,), methods=("linear-probe",))
    assert (tmp_path / "out" / "settings.json").read_text() == settings


def test_saved_models_recognize_as_their_cells_do(run, model, faces, tmp_path):
    result = run(out=tmp_path / "out", shots=(2,), seeds=(1,))
    encoder = get_image_encoder(f"run:{model}")
    folders = save_models(result, encoder, tmp_path / "out", "largest", command="ke2nt few-shot")
    assert [path.name for path in folders] == ["zero-shot", *(f"{n}-2-1" for n in FAST[1:])]
    assert save_models(result, encoder, tmp_path / "none", "none") == []

    cells = {cell.name: cell for cell in result.cells}
    split = get_reader("folder", faces).load("val")
    for folder in folders:
        saved = load_model(folder)
        evaluation = evaluate_model(saved, split, bootstrap=0)
        expected = cells[folder.name].probabilities
        np.testing.assert_allclose(evaluation.predictions.probabilities, expected, atol=2e-5)
        assert saved.provenance["few_shot"]["method"] == cells[folder.name].method
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert "Made with `ke2nt few-shot`" in card

    # 6 images of the dataset `folder`, after whatever the encoder was trained on
    assert saved.card["data"]["samples"] == {"train": 6, "val": 3}
    assert saved.card["started_from"]["model"] == "run"
    assert saved.calibration is None

    # what was fitted on the frozen encoder cannot be an encoder itself
    with pytest.raises(ModelError, match="already recognizes through an adapter"):
        run(encoder=f"run:{folder}")


@pytest.mark.parametrize(("shots", "has_scale"), [("all", True), (2, False)])
def test_saved_models_have_an_intensity_scale_or_say_why_not(
    run, model, tmp_path, shots, has_scale
):
    # a tenth of the training images is 15 of a class, of which two shots take two
    root = write_faces(tmp_path / "faces", {"train": 150, "val": 2})
    options = {"shots": (shots,), "seeds": (1,), "methods": ("linear-probe",)}
    result = run(root=root, **options)
    (folder,) = save_models(result, get_image_encoder(f"run:{model}"), tmp_path / "out", "all")
    saved = load_model(folder)

    card = (folder / "README.md").read_text(encoding="utf-8")
    note = "**Intensity**: no scale: the 6 validation images have fewer than 10 of each class"
    assert (note in card and "`ke2nt calibrate` fits one" in card) is not has_scale
    rows = Recognizer(saved, detector=None).predict(sorted(map(str, root.glob("val/*/0.png"))))
    assert all((row.intensity is not None) is has_scale for row in rows)
    assert all((row.unscaled_intensity is None) is has_scale for row in rows)
    if not has_scale:
        return

    # 0 is the median neutral face of the validation images, along every direction
    (draw,) = result.draws
    index = draw.validation.classes.index("neutral")
    neutral = [each.source for each in draw.validation.samples if each.label == index]
    with torch.inference_mode():
        embeddings = saved(saved.preprocessing(neutral)).embeddings
    moves = compute_intensity(embeddings, None, saved.bank).double().numpy()
    scale = FaceSettings.from_model(saved).intensity
    scaled = scale.apply(moves, saved.classes, neutral_photo=False)
    medians = np.delete(np.median(scaled, axis=0), saved.classes.index("neutral"))
    np.testing.assert_allclose(medians, 0, atol=1e-4)


def test_saved_models_name_the_first_weights(run, model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "started")
    update_folder(find_model_folder(folder), card={"first_weights": ["faces.pth"]})
    result = run(encoder=f"run:{folder}", shots=(2,), seeds=(1,), methods=("linear-probe",))
    (saved,) = save_models(result, get_image_encoder(f"run:{folder}"), tmp_path / "out", "all")
    card = load_model(saved).card
    assert card["first_weights"] == ["faces.pth"]
    assert card["started_from"]["model"] == "started"


def test_zero_shot_keeps_the_scale_of_its_encoder(run, model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "scaled")
    scaled = load_model(folder)
    scale = {"zero": {"happiness": 0.1, "anger": 0.2}, "unit": {"happiness": 1.0, "anger": 2.0}}
    scaled.card["predict"] = {"intensity": scale}
    scaled.save_pretrained(folder)

    result = run(encoder=f"run:{folder}", shots=(1,), seeds=(1,), methods=("zero-shot",))
    (saved,) = save_models(result, get_image_encoder(f"run:{folder}"), tmp_path / "out", "all")
    assert load_model(saved).card["predict"]["intensity"] == scale

    # other words are other directions
    result = run(encoder=f"run:{folder}", prompts="simple", shots=(1,), methods=("zero-shot",))
    (saved,) = save_models(result, get_image_encoder(f"run:{folder}"), tmp_path / "words", "all")
    assert (load_model(saved).card.get("predict") or {}).get("intensity") is None


def test_a_cell_of_other_settings_is_not_taken(run, tmp_path):
    result = run(methods=("ke2nt-adapter",), shots=(1,), seeds=(1,))
    (cell,) = result.cells
    path = tmp_path / "cell.safetensors"
    assert read_cell(path, "key") is None
    write_cell(path, cell, "key")
    assert read_cell(path, "other") is None
    again = read_cell(path, "key")
    assert torch.equal(again.logits, cell.logits)
    embeddings = torch.randn(4, 384)
    expected = cell.fitted.logits(embeddings, 30.0)
    torch.testing.assert_close(again.fitted.logits(embeddings, 30.0), expected)
    assert again.fitted.bank.provenance == cell.fitted.bank.provenance


def test_models_of_a_vision_language_model_are_saved(run, faces, tmp_path):
    spec = open_clip_folder(tmp_path, "clip")
    methods = ("zero-shot", "tip-adapter", "ke2nt-adapter")
    result = run(encoder=spec, methods=methods, shots=(2,), seeds=(1,))
    folders = save_models(result, get_image_encoder(spec), tmp_path / "out", "all")
    assert len(folders) == 3

    split = get_reader("folder", faces).load("val")
    for folder, cell in zip(folders, result.cells, strict=True):
        evaluation = evaluate_model(load_model(folder), split, bootstrap=0)
        probabilities = evaluation.predictions.probabilities
        np.testing.assert_allclose(probabilities, cell.probabilities, atol=1e-4)
        assert str(tmp_path) not in (folder / "config.json").read_text(encoding="utf-8")
