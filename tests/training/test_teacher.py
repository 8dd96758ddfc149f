"""Distillation in a training run: the teacher's view, its order of classes, records, refusals."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.config.load import override_config
from ke2nt.config.unused_keys import find_unused_keys
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import CheckpointError, ConfigError
from ke2nt.models.build import build_model
from ke2nt.models.load import load_model
from ke2nt.training.compute import Compute
from ke2nt.training.names import check_names
from ke2nt.training.teacher import Teacher
from ke2nt.training.train_recognizer import train

ORDER = ("anger", "neutral", "happiness")  # not that of the data
STUDENT = ("neutral", "happiness", "anger")
CPU = Compute(torch.device("cpu"), "fp32")


def build_teacher(classes=ORDER, seed=3, image_size=24):
    torch.manual_seed(seed)
    bank = TextBank.build("simple", classes=list(classes))
    model = build_model(bank=bank, backbone="test_resnet", image_size=image_size, logit_scale=9.0)
    model.preprocessing = replace(model.preprocessing, mean=(0.4, 0.5, 0.6), std=(0.3, 0.2, 0.1))
    return model.eval()


@pytest.fixture
def teacher(tmp_path):
    build_teacher().save_pretrained(tmp_path / "teacher")
    return tmp_path / "teacher"


def distilling(tiny, folder, *overrides, out="run"):
    return tiny(
        f"loss.distillation={{teacher: {folder}, weight: 5.0, temperature: 2.0}}",
        *overrides,
        out=out,
    )


def test_teacher_sees_the_pixels_of_the_student_in_its_preprocessing():
    model, student = build_teacher(), Preprocessing(24)
    pixels = torch.randint(0, 256, (4, 3, 24, 24), generator=torch.Generator().manual_seed(0))
    found = Teacher(model, STUDENT, student, CPU, temperature=1.0, weight=1.0)
    logits = found.logits(student.normalize(pixels))
    with torch.no_grad():
        expected = model(model.preprocessing.normalize(pixels)).logits
    for column, name in enumerate(STUDENT):
        torch.testing.assert_close(
            logits[:, column], expected[:, ORDER.index(name)], rtol=1e-4, atol=1e-4
        )
    assert not logits.requires_grad


def test_teacher_of_another_size_sees_resized_images():
    found = Teacher(
        build_teacher(image_size=32), ORDER, Preprocessing(24), CPU, temperature=1.0, weight=1.0
    )
    assert found.logits(torch.zeros(2, 3, 24, 24)).shape == (2, 3)


def test_student_approaches_its_teacher_and_the_run_names_it(tiny, teacher):
    # labels have no weight: what is learned is the teacher's
    labels_off = ("loss.similarity=1e-6", "loss.transformation=0", "loss.self_contrast=0")
    still = ("augment.erase=0", "augment.crop=0", "augment.flip=0", "optim.lr=0.01")
    result = train(distilling(tiny, teacher, *labels_off, *still), quiet=True)
    first, *_, last = (record["loss"]["distillation"] for record in result.progress.records)
    assert 0 <= last < 0.8 * first

    summary = json.loads((result.run.path / "run.json").read_text())
    assert summary["teacher"]["model"] == "teacher"
    card = load_model(result.run.path).card
    assert card["teacher"] == summary["teacher"]
    assert "**Distilled** from teacher" in (result.run.model / "README.md").read_text()


def test_resumed_run_needs_the_same_teacher(tiny, teacher):
    config = distilling(tiny, teacher, "optim.epochs=1", "keep=true")
    train(config, quiet=True)
    build_teacher(seed=4).save_pretrained(teacher)
    with pytest.raises(CheckpointError, match="the teacher has changed since the run began"):
        train(config, resume=True, quiet=True)


def test_teacher_of_other_classes_is_refused(tiny, tmp_path):
    build_teacher(classes=("anger", "neutral", "sadness")).save_pretrained(tmp_path / "other")
    with pytest.raises(ConfigError, match="the teacher has other classes than the data"):
        train(distilling(tiny, tmp_path / "other"), quiet=True)


def test_wrong_names_and_numbers_are_refused(tiny):
    with pytest.raises(CheckpointError, match="no saved model"):
        check_names(distilling(tiny, "nowhere"))
    config = distilling(tiny, "x")
    with pytest.raises(ConfigError, match="temperature"):
        override_config(config, ["loss.distillation.temperature=0"])


def test_bench_says_that_it_has_no_teacher(tiny):
    unused = find_unused_keys("bench train", tiny())
    assert unused["loss.distillation.teacher"] == "only `ke2nt train` learns from a teacher"
