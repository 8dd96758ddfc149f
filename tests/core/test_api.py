"""The functions of `import ke2nt`: names and objects give the same results."""

from __future__ import annotations

import pytest
from command_line import leave_plots_out

import ke2nt

FACES = {"count": 64, "size": 32, "min_intensity": 0.8}
SMALL = (
    "device=cpu",
    "data.options={count: 64, size: 32, min_intensity: 0.8}",
    "data.workers=0",
    "model.backbone=test_resnet",
    "model.backbone_options={}",
    "model.stem=standard",
    "model.image_size=32",
    "optim.warmup_epochs=0",
    "select.every=1",
)


@pytest.fixture(autouse=True, scope="module")
def _without_plots():
    """Skip the plots of reports, which take longer than these runs."""
    with pytest.MonkeyPatch.context() as patch:
        leave_plots_out(patch.setattr)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("api") / "run"
    return ke2nt.train(
        "quickstart", *SMALL, "optim.epochs=1", "keep=true", f"out={out}", quiet=True
    )


def test_train_takes_names_and_overrides(run):
    assert (run.run.path / "metrics.json").is_file()
    assert len(run.progress.records) == 1
    assert 0 <= run.evaluation.report.accuracy <= 1


def test_train_takes_a_configuration(tmp_path):
    from ke2nt.config.load import load_config

    config = load_config("quickstart", [*SMALL, "optim.epochs=1"])
    result = ke2nt.train(config, f"out={tmp_path / 'run'}", quiet=True)
    assert result.run.path == tmp_path / "run"


def test_train_resumes_a_run_by_its_folder(run):
    again = ke2nt.train(run.run.path, resume=True, quiet=True)
    assert again.evaluation.to_dict() == run.evaluation.to_dict()


def test_wrong_overrides_are_named(run):
    with pytest.raises(ke2nt.Ke2ntError, match=r"did you mean optim\.epochs"):
        ke2nt.train("quickstart", "optim.epoch=1")
    with pytest.raises(ke2nt.Ke2ntError, match="an override is not valid"):
        ke2nt.train(run.run.path, "epochs", resume=True)


def test_evaluate_takes_names_and_objects(run):
    by_name = ke2nt.evaluate(run.run.path, "drawn", split="val", dataset_options=FACES, bootstrap=0)
    split = ke2nt.load_dataset("drawn", split="val", **FACES)
    by_object = ke2nt.evaluate(ke2nt.load_model(run.run.path), split, bootstrap=0)
    assert by_name.to_dict() == by_object.to_dict()
    assert by_name.to_dict()["split"] == "val"


def test_zero_shot_takes_names_and_objects(run):
    from ke2nt.evaluation.image_encoders import get_image_encoder

    name = f"run:{run.run.path}"
    by_name = ke2nt.zero_shot(
        name, "paper", "drawn", split="val", dataset_options=FACES, bootstrap=0
    )
    split = ke2nt.load_dataset("drawn", split="val", **FACES)
    by_object = ke2nt.zero_shot(
        get_image_encoder(name), ke2nt.PromptSet.load("paper"), split, bootstrap=0
    )
    assert by_name.evaluation.report.to_dict() == by_object.evaluation.report.to_dict()
    assert by_name.bank.num_classes == len(split.classes)


def test_wrong_names_are_our_errors():
    with pytest.raises(ke2nt.Ke2ntError, match="drwn"):
        ke2nt.evaluate("ke2nt/ferplus-faces", "drwn")
    with pytest.raises(ke2nt.Ke2ntError):
        ke2nt.zero_shot("open_clip:ViT-B-61/x", "paper", "drawn", split="val")
