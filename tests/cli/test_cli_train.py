"""`ke2nt train` and `ke2nt quickstart` through the entry point."""

from __future__ import annotations

import json

import pytest
from command_line import run_ke2nt


def test_train_resume_and_evaluate_a_run(tmp_path):
    options = ["data.options.count=160", "model.backbone=test_resnet", "model.image_size=32"]
    options += ["model.backbone_options={}", "model.stem=standard"]
    options += ["optim.epochs=2", "optim.warmup_epochs=0.5", "data.options.workers=1"]
    words = [*options, "--out", "a run", "--keep", "--json"]
    done = run_ke2nt("train", "quickstart", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["run"] == "a run"
    assert result["split"] == "val"
    assert len(result["confusion"]) == 8
    assert done.stderr == ""

    # a run directory is used once, or resumed
    again = run_ke2nt("train", "quickstart", *options, "--out", "a run", cwd=tmp_path)
    assert again.returncode == 2
    assert "--resume" in again.stderr
    resumed = run_ke2nt("train", "--resume", "a run", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "accuracy" in resumed.stdout

    # the saved model scores as it did in training
    words = ["--dataset", "drawn", "--split", "val", "--json"]
    words += ["--option", "count=160", "--option", "seed=7", "--option", "min_intensity=0.5"]
    words += ["--option", "size=48"]
    scored = run_ke2nt("evaluate", "a run", *words, cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["confusion"] == result["confusion"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "name a configuration"),
        (("quickstart", "--resume", "x"), "name a configuration"),
        (("--resume", "nowhere"), "no run to resume"),
        (
            ("--resume", "x", "--deterministic"),
            "--resume RUN alone; found --deterministic",
        ),
        (("--resume", "x", "--out", "y"), "--resume RUN alone; found --out"),
        (("--resume", "x", "--keep"), "--resume RUN alone; found --keep"),
        (("--resume", "x", "--start", "y"), "--resume RUN alone; found --start"),
        (("quickstart", "--start", "none"), "no saved model"),
        (("nothing_like_it",), "no config file or shipped name"),
        (("quickstart", "optim.epocs=3"), "did you mean optim.epochs"),
        (("ferplus_resnet18",), "root"),
        (("ferplus_resnet18", "data.root=nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(tmp_path, words, expected):
    done = run_ke2nt("train", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
    assert list(tmp_path.glob("*")) == []
