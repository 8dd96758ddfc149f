"""The card: from facts alone, true to them, without paths of the machine."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from ke2nt.checkpoints.card import model_card
from ke2nt.checkpoints.card_facts import evaluation_facts, public_text, run_facts
from ke2nt.checkpoints.dataset_facts import DATASETS
from ke2nt.checkpoints.model_folder import update_folder
from ke2nt.datasets.catalog import READERS
from ke2nt.errors import CheckpointError
from ke2nt.models.calibration import Calibration
from ke2nt.models.load import load_model

CONFIG = {
    "seed": 29,
    "out": "/home/ada/runs/x",
    "data": {"name": "ferplus", "root": "/data/ferplus", "options": {"rule": "majority"}},
    "text": {"prompts": "/home/ada/words.yaml", "encoder": "minilm"},
}
METRICS = {
    "dataset": "ferplus",
    "split": "val",
    "n": 3199,
    "flip_tta": False,
    "accuracy": 0.8612,
    "uar": 0.7,
    "macro_f1": 0.71,
    "ece": 0.05,
    "nll": 0.5,
    "intervals": {"level": 0.95, "resamples": 1000, "seed": 0, "accuracy": [0.85, 0.87]},
    "per_class": [
        {"name": "neutral", "support": 1200, "recall": 0.9, "recall_interval": [0.88, 0.92]},
        {"name": "contempt", "support": 20, "recall": 0.3, "recall_interval": [0.1, 0.5]},
        {"name": "fear", "support": 0, "recall": None, "recall_interval": None},
    ],
    "selection": {"rule": "best epoch by accuracy", "options": {"rule": "majority"}, "notes": []},
}


@pytest.fixture
def run(tmp_path, model):
    """A run directory as training leaves it."""
    folder = tmp_path / "run"
    folder.mkdir()
    model.save_pretrained(folder / "model", provenance={"seed": 29, "epoch": 7})
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    made = {"command": "ke2nt train x data.root=/data/ferplus --out '/a b/c'", "seed": 29}
    (folder / "run.json").write_text(
        json.dumps({"samples": {"train": 25060, "val": 3199}, "provenance": made})
    )
    return folder


def front(text):
    return yaml.safe_load(re.match(r"---\n(.*?)---\n", text, re.DOTALL).group(1))


def test_every_saved_model_has_a_card(model, linear, tmp_path):
    for name, one in (("text", model), ("linear", linear)):
        one.save_pretrained(tmp_path / name)
        text = (tmp_path / name / "README.md").read_text()
        assert front(text)["library_name"] == "ke2nt"
        assert "neutral, happiness, anger, fear" in text
        for words in ("surveillance", "lie detection", "not an emotion", "Not recorded", "None:"):
            assert words in text, words


def test_card_describes_the_run(run):
    update_folder(run / "model", card=run_facts(run / "model"))
    text = (run / "model" / "README.md").read_text()
    for words in (
        "FER+ (rule majority)",
        "25060 for training",
        "labels: MIT",
        "| accuracy (WAR) | 86.1 | 85.0–87.0 |",
        "| contempt | 20 | 30.0 | 10.0–50.0 |",
        "| fear | 0 | – | – |",
        "chosen on these images",
        "contempt (recall 30 %, 20 images)",
        "- **seed**: 29",
        "- **selected epoch**: 7",
        "`ke2nt train x data.root=DIR --out DIR`",
        "ke2nt train config.yaml data.root=DIR --out runs/again",
    ):
        assert words in text, words
    assert front(text)["license"] == "other"
    (result,) = front(text)["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == 0.8612
    block = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL).group(1))
    assert block["data"] == {**CONFIG["data"], "root": None}


def test_card_has_no_paths_of_the_machine(run):
    update_folder(run / "model", card=run_facts(run / "model"))
    for name in ("README.md", "config.json"):
        text = (run / "model" / name).read_text()
        for path in ("/home/ada", "/data/", "/a b", str(run)):
            assert path not in text
    assert "words.yaml" in (run / "model" / "README.md").read_text()


@pytest.mark.parametrize(
    ("command", "public"),
    [
        ("ke2nt train a data.root=/x/y", "ke2nt train a data.root=DIR"),
        ("ke2nt train ~/my.yaml", "ke2nt train my.yaml"),
        ("ke2nt evaluate runs/a --root /x/y", "ke2nt evaluate runs/a --root DIR"),
        (r"ke2nt train a model.weights='C:\w\r 18.pth'", "ke2nt train a model.weights=r 18.pth"),
        ("ke2nt train a 'text.prompts=my words'", "ke2nt train a 'text.prompts=my words'"),
    ],
)
def test_commands_lose_their_paths(command, public):
    assert public_text(command) == public


def test_calibration_is_stated_with_its_command(run):
    calibration = Calibration(
        temperature=1.8,
        min_confidence=0.44,
        threshold={"target": "risk", "value": 0.05, "risk": 0.049, "coverage": 0.81},
        fitted_on={
            "dataset": "ferplus",
            "split": "val",
            "options": {"rule": "majority"},
            "n": 9,
            "degraded": True,
        },
        metrics={
            "n": 3199,
            "folds": 5,
            "ece_before": 0.06,
            "ece_after": 0.011,
            "nll_before": 0.5,
            "nll_after": 0.45,
        },
    )
    update_folder(run / "model", calibration=calibration, card=run_facts(run / "model"))
    text = (run / "model" / "README.md").read_text()
    for words in (
        "T = 1.8, fitted on ferplus val (rule majority)",
        "0.0600 before, 0.0110 after",
        "cross-fitted in 5 folds",
        "confidence below 0.440: on these images 81.0 % were above it; 4.9 % of those were wrong",
        "--dataset ferplus --root DIR --split val --option rule=majority --method temperature "
        "--max-risk 0.05",
    ):
        assert words in text, words


def test_metrics_say_when_the_calibration_changes_predictions(run):
    words = "measured before the class prior, which may change predictions"
    update_folder(run / "model", card=run_facts(run / "model"), calibration=Calibration())
    assert words not in (run / "model" / "README.md").read_text()

    classes = load_model(run).classes
    shifted = Calibration(offsets=(0.5,) + (0.0,) * (len(classes) - 1), prior={})
    update_folder(run / "model", calibration=shifted)
    assert words in (run / "model" / "README.md").read_text()

    # metrics of the calibrated model need no such note
    metrics = json.loads((run / "metrics.json").read_text())
    calibrated = {**evaluation_facts(metrics), "calibrated": True}
    update_folder(run / "model", card={"evaluations": [calibrated]})
    assert words not in (run / "model" / "README.md").read_text()


def test_drawn_faces_need_no_root_and_do_not_work_on_photographs(model, tmp_path):
    model.card = {"data": {"name": "drawn", "options": {}}, "config": {"seed": 1}}
    model.save_pretrained(tmp_path / "m")
    text = (tmp_path / "m" / "README.md").read_text()
    assert front(text)["license"] == "mit"
    assert "does not work on photographs" in text
    assert "ke2nt train config.yaml --out runs/again" in text


def test_a_name_cannot_end_the_front_matter(model, tmp_path):
    model.save_pretrained(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    config["card"] = {"name": "a: b\n---\n# c", "evaluations": [evaluation_facts(METRICS)]}
    assert front(model_card(config))["model-index"][0]["name"] == "a: b --- # c"


def test_packed_images_are_those_of_the_dataset_that_was_packed(run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["name"] = "packed"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert run_facts(run / "model")["data"]["name"] == METRICS["dataset"] == "ferplus"


def test_training_and_evaluation_options_are_kept_apart(run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["train_options"] = {"rule": "plurality10"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    facts = run_facts(run / "model")
    assert facts["data"]["options"] == {"rule": "plurality10"}
    assert facts["evaluations"][0]["options"] == {"rule": "majority"}


def test_other_folders_give_no_run_facts(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    assert run_facts(tmp_path / "model") == {}


@pytest.mark.parametrize("name", ["run.json", "metrics.json", "config.yaml"])
def test_damaged_files_of_a_run_are_errors(run, name):
    (run / name).write_text("{}")
    with pytest.raises(CheckpointError):
        run_facts(run / "model")


def test_every_public_dataset_has_a_license():
    private = {"corruptions", "folder", "huggingface", "manifest", "packed", "yolo"}
    assert set(READERS) - set(DATASETS) == private
    assert [name for name, facts in DATASETS.items() if facts.free] == ["drawn"]


def test_recipe_of_an_older_run_has_the_current_names(run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["model"] = {"grey": True}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    update_folder(run / "model", card=run_facts(run / "model"))
    text = (run / "model" / "README.md").read_text()
    block = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL).group(1))
    assert block["model"] == {"gray": True}
