"""`ke2nt calibrate` stores its result in the model's folder."""

import json
import shutil

import numpy as np
import pytest
from command_line import run_ke2nt
from trust_fixtures import CLASSES, draw_faces, run_here, save_model

from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation.calibration_scores import compute_calibration_scores
from ke2nt.evaluation.evaluate_model import decode_for_model, evaluate_model
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.evaluation.temperature import fit_temperature
from ke2nt.labels import map_labels
from ke2nt.models.load import load_model
from ke2nt.predict.face_settings import FaceSettings


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return draw_faces(tmp_path_factory.mktemp("faces"))


@pytest.fixture
def model(tmp_path):
    return save_model(tmp_path / "run" / "model")


@pytest.fixture
def calibrate(monkeypatch, capfd, model, faces):
    def run(*extra, where=model.parent, root=faces, forced=True):
        data = ["--dataset", "folder", "--root", root, "--device", "cpu", "--quiet"]
        force = ["--force"] if forced else []  # 24 images are few
        return run_here(monkeypatch, capfd, "calibrate", where, *data, *force, *extra)

    return run


def test_the_temperature_is_fitted_and_stored(calibrate, model, faces):
    images = decode_for_model(load_model(model), get_reader("folder", faces).load("val"))
    raw = compute_predictions(load_model(model), images, precision="fp32")
    assert raw.classes != raw.data_classes  # other order: the labels must be mapped
    labels = [raw.classes.index(raw.data_classes[i]) for i in raw.labels]

    # the stored temperature is that of the raw logits
    code, out, err = calibrate("--json", "--clean-only")
    assert (code, err) == (0, "")
    value = json.loads(out)
    assert value["temperature"] == pytest.approx(fit_temperature(raw.logits[0], labels))
    assert value["fitted_on"] == {
        "dataset": "folder",
        "split": "val",
        "options": {},
        "n": 24,
        "degraded": False,
    }

    # the model in the folder is calibrated from now on
    stored = load_model(model)
    scale = FaceSettings.from_model(stored).intensity
    assert scale is None or scale.to_dict() == value["predict"]["intensity"]
    assert (scale is None) == any("intensity scale" in note for note in value["notes"])
    assert stored.calibration.temperature == value["temperature"]
    assert stored.calibration.min_confidence is None
    assert evaluate_model(stored, images).report.nll == pytest.approx(
        value["figures"]["nll_after_same_data"]
    )
    assert f"T = {value['temperature']:.4g}" in (model / "README.md").read_text()


def test_images_and_degraded_copies_weigh_the_same(calibrate, model, faces):
    split = get_reader("folder", faces).load("val")
    fresh = load_model(model)
    mapping = map_labels(split.classes, fresh.classes)
    scores = compute_calibration_scores(fresh, split, mapping)
    logits, labels, degraded = scores.arrays
    assert degraded.shape == (5, 24, 3)
    assert np.abs(degraded - logits).max() > 0

    # five copies of each image, so five times the image itself
    value = json.loads(calibrate("--json")[1])
    views = np.concatenate([*[logits] * 5, *degraded])
    assert value["temperature"] == pytest.approx(fit_temperature(views, np.tile(labels, 10)))
    assert value["fitted_on"]["degraded"]
    assert value["figures"]["degraded_nll_before"] > 0
    card = (model / "README.md").read_text()
    assert "degraded copies of the images" in card


def test_labels_that_differ_are_dropped_or_kept(calibrate, model, faces, tmp_path):
    """The data lacks anger and has a class that the model lacks."""
    root = tmp_path / "other"
    shutil.copytree(faces, root)
    (root / "val" / "anger").rename(root / "val" / "fear")
    (root / "train" / "anger").rename(root / "train" / "fear")

    code, _, err = calibrate("--clean-only", root=root)
    assert code == 2
    assert "--labels drop" in err
    temperatures = []
    for policy in ("drop", "keep"):
        code, out, err = calibrate("--clean-only", "--json", "--labels", policy, root=root)
        assert code == 0, err
        value = json.loads(out)
        assert value["fitted_on"]["n"] == 16
        assert any("dropped from the data: fear" in note for note in value["notes"])
        temperatures.append(value["temperature"])
        assert value["fitted_on"]["labels"] == policy

    # under "drop" the fit does not see the logits of anger
    assert temperatures[0] != temperatures[1]
    code, _, err = calibrate("--method", "vector", "--labels", "drop", root=root)
    assert (code, "every class" in err) == (2, True)


def test_images_of_one_class_are_refused(calibrate, faces, tmp_path):
    root = tmp_path / "one_class"
    shutil.copytree(faces / "val" / "anger", root / "val" / "anger")
    code, _, err = calibrate("--labels", "keep", root=root)
    assert code == 2
    assert "all images show one class" in err
    assert "found anger" in err


def test_few_images_are_refused_unless_forced(calibrate, model):
    before = (model / "config.json").read_bytes()
    code, out, err = calibrate(forced=False)
    assert (code, out) == (2, "")
    assert "at least 200" in err
    assert "found 24" in err
    assert "--force" in err
    assert (model / "config.json").read_bytes() == before


def test_tables_vectors_and_a_threshold(calibrate, model):
    code, out, _ = calibrate("--method", "vector", "--coverage", "0.5", "--folds", "4")
    assert code == 0
    for words in ("folder val: 24 images", "happiness", "before", "each of 4 folds", "withheld"):
        assert words in out, words
    calibration = load_model(model).calibration
    assert calibration.method == "vector"
    assert calibration.threshold["target"] == "coverage"
    assert calibration.threshold["coverage"] >= 0.5


def test_prior_and_thresholds_by_class_are_stored(calibrate, model):
    code, out, err = calibrate("--prior", "even")
    assert code == 2
    assert "--shares-of" in err

    # once taken from labels, the shares stay on the card
    extra = ["--shares-of", "train", "--coverage", "0.5", "--by-class"]
    code, out, _ = calibrate(*extra, "--prior", "anger=1,happiness=1,neutral=2")
    assert code == 0
    assert "class shares assumed by probabilities: anger 25.0 %" in " ".join(out.split())
    assert "Thresholds by predicted class" in out
    stored = load_model(model)
    assert stored.card["class_prior"]["data"] == pytest.approx(dict.fromkeys(CLASSES, 1 / 3))
    assert stored.calibration.prior["neutral"] == 0.5
    assert len(stored.calibration.class_min_confidence) == 3

    value = json.loads(calibrate("--json", "--prior", "natural")[1])
    assert not {"prior", "offsets", "class_min_confidence"} & value.keys()


def test_a_second_calibration_is_fitted_to_the_raw_logits(calibrate):
    first = json.loads(calibrate("--json")[1])
    second = json.loads(calibrate("--json")[1])
    assert first == second


def test_losses_by_a_new_calibration_are_noted(calibrate, model):
    assert "replaces" not in calibrate("--coverage", "0.5")[1]
    out = " ".join(calibrate("--limit", "12", "--folds", "2")[1].split())
    assert "It replaces a calibration fitted to 24 images." in out
    assert "were withheld until now; the new calibration withholds none" in out


def test_worse_fit_is_noted():
    from ke2nt.cli.calibration_tables import compare_with_stored
    from ke2nt.models.calibration import Calibration

    def notes(before, after):
        figures = {"nll_before": before, "nll_after": after}
        return compare_with_stored(Calibration(fitted_on={"n": 5}, metrics=figures), None)

    assert "worse" in notes(1.0, 1.1)[0]
    assert notes(1.0, 0.9) == []


@pytest.mark.parametrize(("least", "said"), [(3.0, False), (30.0, True)])
def test_threshold_from_few_faces_is_noted(calibrate, monkeypatch, least, said):
    monkeypatch.setattr("ke2nt.cli.calibration_fit._RULE_OF_THREE", least)
    text = " ".join(calibrate("--max-risk", "0.9")[1].split())
    assert "predictions below" in text
    assert ("too few to tell that at most 90.0 % of predictions are wrong" in text) is said


def test_calibration_on_training_images_is_noted(calibrate):
    assert "Training images make a model overconfident" in calibrate("--split", "train")[1]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (("--max-risk", "0.1", "--coverage", "0.5"), "one target"),
        (("--max-risk", "-1"), "'--max-risk'"),
        (("--folds", "99"), "number of folds"),
        (("--split", "nope"), "no split 'nope'"),
        (("--method", "platt"), "platt"),
        (("--by-class",), "--max-risk or --coverage"),
        (("--prior", "evne"), "unknown class prior"),
    ],
)
def test_errors_are_one_line_and_change_nothing(calibrate, model, extra, words):
    before = (model / "config.json").read_bytes()
    code, out, err = calibrate(*extra)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert words in err
    assert (model / "config.json").read_bytes() == before


def test_models_without_a_folder_are_refused(faces):
    arguments = ["calibrate", "ke2nt/ferplus-faces", "--dataset", "folder", "--root", faces]
    done = run_ke2nt(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: a calibration is stored in the model's folder")
    assert len(done.stderr.strip().splitlines()) == 1
