"""`ke2nt gan …` through the entry point."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from command_line import run_lines
from PIL import Image

from ke2nt.cli.gan import _print_quality
from ke2nt.models.face_weights import dlib_package_file

SMALL = (
    "data.options.count=80 data.options.workers=1 data.options.size=16 model.image_size=16 "
    "gan.network.critic_width=4"
)
GENERATOR = f"{SMALL} gan.network.width=4 gan.optim.epochs=1 gan.min_images=1"
RECOGNIZER = (
    f"{SMALL} model.backbone=test_resnet model.backbone_options={{}} model.stem=standard "
    "optim.epochs=1 optim.warmup_epochs=0 joint.generator=run"
)
WITHOUT_FACES = (
    "from ke2nt.models import face_weights; face_weights.dlib_package_file = lambda: None"
)
DATA = "--dataset drawn --option count=80 --option size=16"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("gan")
    Image.fromarray(np.full((40, 40), 90, np.uint8)).save(place / "me.png")
    (place / "bad.png").write_bytes(b"no image")
    lines = {
        "pretrain": f"ke2nt gan pretrain fesgan_drawn {GENERATOR} --out run --quiet",
        "sample": "ke2nt gan sample run --out faces --count 16 --seed 3 --json",
        "read": "ke2nt data info folder faces --json",
        "edit": "ke2nt gan edit run me.png bad.png --out edits --json",
        "quality": f"ke2nt gan quality run {DATA} --count 16 --json",
        "train": f"ke2nt gan train fesgan_drawn {RECOGNIZER} --out joint --keep --json",
        "resume": "ke2nt gan train --resume joint --json",
    }
    printed = run_lines(list(lines.values()), place, before=WITHOUT_FACES)
    return place, dict(zip(lines, printed, strict=True))


def test_pretraining_prints_where_its_images_are(done):
    place, printed = done
    assert "run: run" in printed["pretrain"][0]
    assert (place / "run" / "samples" / "epoch-00001" / "new.png").exists()


def test_samples_are_a_dataset(done):
    _, printed = done
    assert json.loads(printed["sample"][0])["classes"]["anger"] == 2
    info = json.loads(printed["read"][0])
    assert "anger" in json.dumps(info)


def test_edits_name_unreadable_images(done):
    place, printed = done
    out, errors = printed["edit"]
    assert json.loads(out)["written"] == ["000-me"]
    assert "unreadable: bad.png" in errors
    assert {p.stem for p in (place / "edits" / "000-me").iterdir()} >= {"anger", "neutral"}
    assert (place / "edits" / "grid.png").exists()


def test_quality_metrics(done):
    _, printed = done
    figures = json.loads(printed["quality"][0])
    assert figures["fid"] > figures["fid_real"] > 0
    assert 0 <= figures["accuracy_edits"] <= 1
    assert "identity_kept_judge" not in figures  # the shipped judge returns no stages
    assert figures["nearest"] > 0
    has_faces = dlib_package_file() is not None
    assert ("identity_kept" in figures) == has_faces
    assert figures["per_expression"]["anger"]["diversity"] > 0


def test_quality_is_printed_for_each_expression(capsys):
    values = {"accuracy_new": 0.5, "accuracy_edits": None, "diversity": 0.875, "nearest": 0.2}
    metrics = {"fid": 12.0, "per_expression": {"neutral": values, "contempt": values}}
    _print_quality({**metrics, "identity_kept": 0.25})
    first = capsys.readouterr().out
    assert first.count("0.875") == 2
    assert "identity_kept" in first
    assert "-" in first
    assert "pip install" not in first
    _print_quality(metrics)
    assert "pip install 'ke2nt[faces]'" in capsys.readouterr().out


def test_joint_training_reports_and_resumes(done):
    _, printed = done
    first, again = (json.loads(printed[name][0]) for name in ("train", "resume"))
    assert first["uar"] == again["uar"]
    assert first["split"] == "val"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pretrain"], "name a configuration"),
        (["train", "--resume", "nowhere"], "no run to resume"),
        (
            ["train", "--resume", "nowhere", "--out", "x"],
            "--resume RUN alone; found --out",
        ),
        (["pretrain", "fesgan_drawn", "gan.los.penalty=1"], "did you mean gan.loss"),
        (["sample", "nowhere", "--out", "x"], "no saved generator"),
        (["pretrain", "fesgan_drawn", "model.image_size=50"], "multiple of 16"),
        (["pretrain", "fesgan_drawn", "optim.epochs=2"], "did you mean gan.optim.epochs?"),
        (["train", "quickstat"], "one of fesgan_drawn, fesgan_ferplus"),
    ],
)
def test_bad_input_is_one_clear_line(monkeypatch, capsys, tmp_path, words, expected):
    from ke2nt.cli import main as command_line

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ke2nt", "gan", *words])
    if command_line.app.registered_commands:
        monkeypatch.setattr(command_line, "add_commands", lambda: None)
    with pytest.raises(SystemExit) as end:
        command_line.main()
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert expected in err
    assert list(tmp_path.iterdir()) == []
