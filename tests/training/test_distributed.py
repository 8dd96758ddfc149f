"""Two processes that share each batch: the same run as one process, by the real entry point."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest
from command_line import run_ke2nt_twice
from safetensors.torch import load_file

from ke2nt.config.load import config_to_yaml
from ke2nt.errors import TrainingError
from ke2nt.training.sampling import global_batch_size
from ke2nt.training.train_recognizer import train

TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "ke2nt"]
ACCELERATE = ["accelerate.commands.launch", "--cpu", "--num_processes=2", "--num_machines=1"]
ACCELERATE += ["--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]
ACCELERATE += ["--module", "ke2nt"]


@pytest.fixture
def launch(tmp_path):
    """Start `ke2nt train` of a configuration in two processes."""

    def start(launcher: list[str], *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", *launcher, "train", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    return start


def configuration(tiny, tmp_path, *overrides, out):
    config = tiny("model.dropout=0", *overrides, out=out)
    path = tmp_path / f"{out}.yaml"
    path.write_text(config_to_yaml(config), encoding="utf-8")
    return str(path)


def test_two_processes_equal_one(tiny, tmp_path, launch):
    # accelerate is not a dependency, but its launcher works where it is installed
    launcher = ACCELERATE if find_spec("accelerate") else TORCHRUN
    changes = ("augment.rotate=10", "augment.erase=0.5", "optim.name=adamw", "optim.ema=0.9")
    path = configuration(tiny, tmp_path, *changes, out="two")
    both = launch(launcher, path, "--json")
    out, err = both.communicate(timeout=200)
    assert both.returncode == 0, err
    printed = json.loads(out)  # one document: the second process is silent
    alone = train(tiny("model.dropout=0", *changes, out="one"), quiet=True)
    records = [json.loads(line) for line in (tmp_path / "two/log.jsonl").read_text().splitlines()]
    assert len(records) == 3
    for shared, single in zip(records, alone.progress.records, strict=True):
        assert shared["loss"] == pytest.approx(single["loss"], rel=1e-4)
    metrics = alone.evaluation.to_dict()
    assert printed["confusion"] == metrics["confusion"]
    assert printed["n"] == metrics["n"] == 18
    ours, theirs = (load_file(tmp_path / run / "model/model.safetensors") for run in ("two", "one"))
    for name, value in ours.items():
        assert value.float().allclose(theirs[name].float(), atol=2e-3), name


def test_sigterm_stops_all_processes_after_the_same_step(tiny, faces, tmp_path, launch):
    broken = tmp_path / "broken"
    shutil.copytree(faces, broken)
    (broken / "train" / "anger" / "3.png").write_bytes(b"not a picture")
    path = configuration(
        tiny,
        tmp_path,
        "data.memory=lazy",
        f"data.root={broken}",
        "optim.epochs=400",
        "select.every=400",
        "loss.transformation=0",
        "loss.self_contrast=0",
        out="cut",
    )
    run = tmp_path / "cut"
    both = launch(TORCHRUN, path)
    log = run / "log.jsonl"
    for _ in range(1200):
        if log.exists() or both.poll() is not None:
            break
        time.sleep(0.1)
    both.send_signal(signal.SIGTERM)
    _, err = both.communicate(timeout=60)
    assert both.returncode != 0
    assert "stopped and saved" in err, err
    states = sorted((run / "checkpoints").iterdir())
    assert states
    epochs = len(log.read_text().splitlines())
    assert epochs < 400


def test_batch_that_cannot_be_shared_is_refused(monkeypatch):
    monkeypatch.setattr("ke2nt.training.sampling.world_size", lambda: 2)
    with pytest.raises(TrainingError, match=r"optim\.batch_size a multiple of 2.*found.*=7"):
        global_batch_size(7, 42)
    assert global_batch_size(8, 7) == 6


def test_existing_run_is_one_error_in_each_process(tiny, tmp_path):
    path = configuration(tiny, tmp_path, "optim.epochs=2", out="two")
    train(tiny("optim.epochs=2", out="two"), quiet=True)
    done = run_ke2nt_twice("train", path, "--quiet")
    assert [process.returncode for process in done] == [2, 2]
    first, second = (process.stderr.strip() for process in done)
    assert first.startswith("error: the run directory already holds a run")
    assert second == f"process 1: {first}"


def test_image_unreadable_in_one_process_is_left_out_by_all(tiny, faces, tmp_path):
    """As when a network drive fails for one process, with all images in RAM."""
    monkey = "import os, ke2nt.data.batches as t; from ke2nt.errors import ImageReadError; "
    monkey += "real = t.decode; gone = ('train/anger/3.png', 'val/neutral/2.png')\n"
    monkey += "def decode(source, **o):\n"
    monkey += "    if os.environ['RANK'] == '1' and str(source).endswith(gone):\n"
    monkey += "        raise ImageReadError('stale')\n"
    monkey += "    return real(source, **o)\n"
    monkey += "t.decode = decode"
    path = configuration(tiny, tmp_path, "optim.epochs=2", "data.memory=ram", out="two")
    done = run_ke2nt_twice("train", path, "--quiet", before=monkey)
    assert [process.returncode for process in done] == [0, 0], done[0].stderr
    unreadable = json.loads((tmp_path / "two/run.json").read_text())["unreadable"]
    assert set(unreadable) == {"train/anger/3.png", "val/neutral/2.png"}
    root = tmp_path / "faces"
    shutil.copytree(faces, root)
    for name in unreadable:
        (root / name).write_bytes(b"broken")
    alone = train(tiny("model.dropout=0", f"data.root={root}", "optim.epochs=2"), quiet=True)
    records = [json.loads(line) for line in (tmp_path / "two/log.jsonl").read_text().splitlines()]
    for shared, single in zip(records, alone.progress.records, strict=True):
        assert shared["loss"] == pytest.approx(single["loss"], rel=1e-4)
    assert json.loads((tmp_path / "two/metrics.json").read_text())["n"] == 17


def test_processes_that_normalize_alone_evaluate_one_model(tiny, tmp_path):
    changes = "optim.sync_batch_norm=false", "optim.ema=0.9", "optim.lr=0.05"
    last = "select={rule: last, every: 1}"
    path = configuration(tiny, tmp_path, *changes, last, "optim.epochs=2", out="two")
    monkey = "import ke2nt.evaluation.evaluate_model as e; real = e.compute_predictions; "
    monkey += "e.compute_predictions = lambda m, i, **o: real(m, i, **{**o, 'batch_size': 2})"
    done = run_ke2nt_twice("train", path, "--quiet", before=monkey)
    assert [process.returncode for process in done] == [0, 0], done[0].stderr
    log = (tmp_path / "two/log.jsonl").read_text().splitlines()
    saved = json.loads((tmp_path / "two/metrics.json").read_text())
    assert json.loads(log[-1])["val"]["nll"] == pytest.approx(saved["nll"], abs=1e-6)


def test_unreadable_validation_image_is_left_out_of_every_evaluation(tiny, faces, tmp_path):
    root = tmp_path / "faces"
    shutil.copytree(faces, root)
    (root / "val" / "neutral" / "2.png").write_bytes(b"broken")
    changes = f"data.root={root}", "data.memory=lazy", "optim.epochs=2"
    monkey = "import ke2nt.evaluation.evaluate_model as e; real = e.compute_predictions; "
    monkey += "e.compute_predictions = lambda m, i, **o: real(m, i, **{**o, 'batch_size': 2})"
    path = configuration(tiny, tmp_path, *changes, out="two")
    done = run_ke2nt_twice("train", path, "--quiet", before=monkey)
    assert [process.returncode for process in done] == [0, 0], done[0].stderr
    alone = train(tiny("model.dropout=0", *changes, out="one"), quiet=True)
    records = [json.loads(line) for line in (tmp_path / "two/log.jsonl").read_text().splitlines()]
    for shared, single in zip(records, alone.progress.records, strict=True):
        assert shared["val"] == pytest.approx(single["val"], abs=1e-4)
    metrics = json.loads((tmp_path / "two/metrics.json").read_text())
    assert metrics["n"] == alone.evaluation.report.n
    assert metrics["confusion"] == alone.evaluation.report.confusion.tolist()
