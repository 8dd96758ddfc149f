"""Training end to end on a tiny dataset: what a run leaves, resuming, stopping, failing."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import signal

import numpy as np
import pytest
import torch
from reader_trees import write_ferplus
from safetensors.torch import load_file

from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.sample import FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.ferplus import FERPlus
from ke2nt.datasets.pack import pack_dataset
from ke2nt.errors import CheckpointError, ConfigError, DataError, ModelError, TrainingError
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.labels import CANONICAL
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.load import load_model
from ke2nt.training import engine, recognition, selection
from ke2nt.training.augmented_images import AugmentedImages
from ke2nt.training.batches import EpochBatches
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.device import choose_compute
from ke2nt.training.engine import Engine
from ke2nt.training.interrupts import TrainingStopped
from ke2nt.training.progress import Progress
from ke2nt.training.recognition import RecognitionTask
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.setup import prepare_engine
from ke2nt.training.task import Position
from ke2nt.training.train_recognizer import train
from ke2nt.training.training_data import load_training_data


def state(run) -> dict[str, torch.Tensor]:
    return load_file(latest_checkpoint(run.checkpoints) / "state.safetensors")


def assert_same_run(a, b) -> None:
    """Weights, averages, optimizer and random state bit for bit; the log but for the times."""
    first, second = state(a), state(b)
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name
    logs = [
        [
            {k: v for k, v in json.loads(line).items() if k != "seconds"}
            for line in (run.path / "log.jsonl").read_text().splitlines()
        ]
        for run in (a, b)
    ]
    assert logs[0] == logs[1]


def test_a_run_leaves_what_it_promises_and_learns(tiny, with_report):
    result = train(tiny("optim.epochs=6"), quiet=True, command="ke2nt train x")
    run = result.run
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        "config.yaml",
        "begun.json",
        "run.json",
        "split.json",
        "log.jsonl",
        "metrics.json",
        "model",
        "checkpoints",
        "report.html",
    }
    facts = run.read("run.json")
    assert facts["status"] == "finished"
    assert facts["classes"] == ["neutral", "happiness", "anger"]
    assert facts["samples"] == {"train": 42, "val": 18}
    assert facts["provenance"]["seed"] == 29
    assert facts["provenance"]["command"] == "ke2nt train x"
    assert facts["provenance"]["versions"]["torch"] == torch.__version__.split("+")[0]
    records = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in records] == [1, 2, 3, 4, 5, 6]
    assert set(records[0]["loss"]) == {"total", "similarity", "transformation", "self_contrast"}
    parts = records[0]["loss"]
    assert parts["total"] == pytest.approx(
        parts["similarity"] + parts["transformation"] + parts["self_contrast"], rel=1e-5
    )
    assert records[-1]["loss"]["total"] < records[0]["loss"]["total"]
    assert result.evaluation.report.accuracy > 0.6  # chance is a third
    metrics = run.read("metrics.json")
    assert metrics["accuracy"] == result.evaluation.report.accuracy
    assert metrics["split"] == "val"
    best = max(r["val"]["uar"] for r in records)
    assert result.progress.best == best
    assert metrics["uar"] == pytest.approx(best)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tiny):
    a = train(tiny(out="a"), quiet=True).run
    b = train(tiny(out="b"), quiet=True).run
    assert_same_run(a, b)
    c = train(tiny("seed=30", out="c"), quiet=True).run
    assert not torch.equal(state(a)["model.projection.weight"], state(c)["model.projection.weight"])


def test_few_checkpoints_are_written_where_few_are_wanted(tiny, monkeypatch):
    seen, real = [], Engine._save

    def save(self, progress):
        seen.append(progress.epoch)
        real(self, progress)

    monkeypatch.setattr(Engine, "_save", save)
    last = "select={rule: last, every: 1}"
    each = train(tiny(last, out="each"), quiet=True).run
    few = train(tiny(last, "checkpoint_every=1000", out="few"), quiet=True).run
    assert seen == [1, 2, 3, 3]
    assert_same_run(each, few)


def test_a_kept_model_is_one_that_a_checkpoint_knows(tiny, monkeypatch):
    values = iter([0.5, 0.4, 0.6, 0.3, 0.2])
    monkeypatch.setattr(RecognitionTask, "judge", lambda self, model: (next(values), {}))
    monkeypatch.setattr("ke2nt.training.display.Display.epoch", lambda self, record: None)
    changes = "checkpoint_every=1000", "keep_checkpoints=9", "optim.epochs=5"
    run = train(tiny(*changes, "select.rule=best"), quiet=True).run
    assert [path.name[:5] for path in sorted(run.checkpoints.iterdir())] == [
        "00001",
        "00003",
        "00005",
    ]


@pytest.mark.parametrize(("stop_at", "options"), [(4, ()), (5, ("optim.ema=null",))])
def test_ctrl_c_saves_and_resume_equals_an_uninterrupted_run(tiny, monkeypatch, stop_at, options):
    whole = train(tiny(*options, "model.dropout=0.2", out="whole"), quiet=True).run
    config = tiny(*options, "model.dropout=0.2", out="stopped")
    steps, real = [0], Engine.train_step

    def step_then_interrupt(self, batch, progress):
        parts = real(self, batch, progress)
        steps[0] += 1
        if steps[0] == stop_at:  # in the first epoch, and after its last step
            os.kill(os.getpid(), signal.SIGINT)
        return parts

    monkeypatch.setattr(Engine, "train_step", step_then_interrupt)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(TrainingStopped):
        train(config, quiet=True)
    assert signal.getsignal(signal.SIGINT) is before
    run = RunDirectory(config.out)
    assert "stopped" in run.read("run.json")["status"]
    resumed = train(run.load_config(), resume=True, quiet=True).run
    assert_same_run(whole, resumed)
    assert resumed.read("run.json")["status"] == "finished"


def test_a_stop_in_the_last_evaluation_is_heeded_and_nothing_is_lost(tiny, monkeypatch):
    whole = train(tiny(out="whole"), quiet=True).run
    config = tiny(out="stopped")
    real = Engine._evaluate

    def interrupted(self, progress):
        if progress.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, progress)

    monkeypatch.setattr(Engine, "_evaluate", interrupted)
    with pytest.raises(TrainingStopped):
        train(config, quiet=True)
    monkeypatch.setattr(Engine, "_evaluate", real)
    assert_same_run(whole, train(config, resume=True, quiet=True).run)


def test_the_best_epoch_can_be_had_back_and_its_state_holds_all(tiny):
    result = train(tiny("optim.ema=0.9", "model.dropout=0.2"), quiet=True)
    newest = state(result.run)
    assert {name.split(".")[0] for name in newest} == {"model", "ema", "optim"}
    facts = json.loads((latest_checkpoint(result.run.checkpoints) / "state.json").read_text())
    assert facts["progress"]["epoch"] == 3
    assert facts["progress"]["step"] == 0
    kept = load_model(result.run.model)
    assert kept.provenance["epoch"] == result.progress.best_epoch
    if result.progress.best_epoch == 3:
        ema = {k.removeprefix("ema."): v for k, v in newest.items() if k.startswith("ema.")}
        assert all(torch.equal(v, ema[k]) for k, v in kept.state_dict().items() if k in ema)


def prepared(config):
    """The engine of a run that has not begun."""
    preprocessing = Preprocessing(image_size=24)
    return prepare_engine(
        config,
        RunDirectory(config.out),
        load_training_data(config, preprocessing, quiet=True),
        choose_compute(config),
        preprocessing,
        quiet=True,
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_computes_in_the_format_and_precision_asked_for(tiny, monkeypatch, precision):
    seen = []
    real = KE2NT.forward

    def forward(self, images):
        last = images.is_contiguous(memory_format=torch.channels_last)
        seen.append((last, torch.is_autocast_enabled("cpu")))
        return real(self, images)

    monkeypatch.setattr(KE2NT, "forward", forward)
    engine = prepared(tiny(f"precision={precision}"))
    engine.train_epoch(Progress())
    state = engine.task.state
    assert set(seen) == {(True, precision == "bf16")}
    filters = [p for p in state.model.parameters() if p.ndim == 4 and p.shape[1] * p.shape[2] > 1]
    assert filters
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in filters)
    assert all(group["fused"] for group in state.optimizer.param_groups)


def test_several_processes_mix_alike_each_within_its_share(tiny, monkeypatch):
    task = prepared(tiny("augment.mixup=1", "augment.cutmix=1")).task
    batch = next(task.data.train.batches(8))
    for step in range(4):
        found = []
        for number in (0, 1):
            monkeypatch.setattr(recognition, "rank", lambda number=number: number)
            found.append(task.prepare(batch, Position(0, step, 5, 3)).mixing)
        assert all(map(torch.equal, *found))


def test_an_image_that_is_lost_while_several_processes_share_batches_stops_the_run(
    tiny, monkeypatch
):
    trainer = prepared(tiny())
    monkeypatch.setattr(engine, "world_size", lambda: 2)
    trainer.data.train.failed["train/anger/3.png"] = "gone"
    few = next(trainer.data.train.batches(3))
    with pytest.raises(TrainingError, match=r"became unreadable.*3\.png: gone.*--resume"):
        trainer.train_step(few, Progress())
    none = few._replace(pixels=few.pixels[:0], indices=few.indices[:0])
    monkeypatch.setattr(EpochBatches, "read", lambda self, order: iter([none]))
    with pytest.raises(TrainingError, match=r"became unreadable"):
        trainer.train_epoch(Progress())


@pytest.mark.parametrize("main", [True, False])
def test_of_several_processes_the_main_one_keeps_the_batch(tiny, nan_in_steps, monkeypatch, main):
    monkeypatch.setattr("ke2nt.training.guards.is_main", lambda: main)
    nan_in_steps({1})
    config = tiny()
    with pytest.raises(TrainingError, match="NaN or infinite"):
        train(config, quiet=True)
    assert len(list(RunDirectory(config.out).path.glob("not_finite*"))) == (2 if main else 0)


def test_a_batch_that_cannot_be_kept_hides_no_error(tiny, nan_in_steps, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("ke2nt.training.guards.write_bytes", full)
    nan_in_steps({1})
    with pytest.raises(TrainingError, match=r"NaN or infinite.*cannot be written .*No space left"):
        train(tiny(), quiet=True)


@pytest.mark.parametrize("readable", [0, 1])
def test_a_batch_of_which_hardly_anything_can_be_read_is_left_out(
    tiny, faces, tmp_path, monkeypatch, readable
):
    root = tmp_path / "faces"
    shutil.copytree(faces, root)
    config = tiny(
        f"data.root={root}", "data.memory=lazy", "optim.epochs=1", "optim.warmup_epochs=0"
    )
    trainer = prepared(config)
    order = trainer.data.train.usable[:24].view(3, 8)
    for i in order[1, readable:]:
        trainer.data.train.split.samples[int(i)].source.write_bytes(b"broken")
    monkeypatch.setattr("ke2nt.training.batches.epoch_order", lambda *args: order.flatten())
    trainer.batches.steps_per_epoch = trainer.steps_per_epoch = 3
    progress = Progress()
    trainer.train_epoch(progress)
    assert (progress.step, progress.skipped) == (3, 1)
    assert len(trainer.data.train.failed) == 8 - readable


def test_votes_are_what_is_learned_where_asked_for(tiny, monkeypatch):
    shares = np.random.default_rng(0).dirichlet([1, 1, 1], 64).astype(np.float32)
    monkeypatch.setattr(FaceSplit, "distributions", lambda self: shares[: len(self)])
    trainer = prepared(tiny("data.soft_labels=true"))
    batch = next(trainer.data.train.batches(8))
    learned = []
    real = trainer.task.loss.forward

    def forward(output, labels, bank):
        learned.append(labels.cpu())
        return real(output, labels, bank)

    monkeypatch.setattr(trainer.task.loss, "forward", forward)
    trainer.train_step(batch, Progress())
    assert torch.equal(*learned, torch.from_numpy(shares)[batch.indices])


@pytest.fixture
def disputed(tmp_path):
    """FER+ in miniature: per usage, two faces with a majority, one disputed, one that is none."""
    votes = ["9,1,0,0,0,0,0,0,0,0", "0,9,1,0,0,0,0,0,0,0", "5,0,5,0,0,0,0,0,0,0"]
    votes.append("0,0,0,0,0,0,0,0,0,10")
    usages = ("Training", "PublicTest")
    rows = [f"{usage},{usage}{i}.png,{v}" for usage in usages for i, v in enumerate(votes)]
    root = write_ferplus(tmp_path / "fer", rows)
    return ["data.name=ferplus", f"data.root={root}", "data.options={rule: majority}"]


def test_the_training_split_alone_can_be_read_with_other_options(tiny, disputed):
    more = "data.train_options={rule: plurality10}"
    for changes, count in ((disputed, 2), ([*disputed, more], 3)):
        config = tiny(*changes, "data.soft_labels=true", "select.rule=last")
        data = load_training_data(config, Preprocessing(image_size=24))
        assert (len(data.train), len(data.val)) == (count, 2)
    assert data.targets[2, [0, 2]].tolist() == [0.5, 0.5]
    carved = tiny(*disputed, more, "data.val_split=null")
    with pytest.raises(ConfigError, match=r"validation images, too.*carved"):
        train(carved, quiet=True)


def test_training_options_that_change_the_classes_are_refused(tiny, monkeypatch, disputed):
    monkeypatch.setattr(
        FERPlus, "classes", property(lambda self: (self.rule, *CANONICAL)), raising=False
    )
    with pytest.raises(ConfigError, match=r"change the classes.*majority.*plurality8"):
        train(tiny(*disputed, "data.train_options={rule: plurality8}"), quiet=True)


def test_label_smoothing_reaches_the_loss(tiny):
    plain, smooth = (
        train(tiny("optim.epochs=1", "optim.warmup_epochs=0", *more, out=out), quiet=True)
        for out, more in (("plain", ()), ("smooth", ("loss.label_smoothing=0.3",)))
    )
    first, second = (r.progress.records[0]["loss"] for r in (plain, smooth))
    assert abs(first["similarity"] - second["similarity"]) > 0.01


def test_faces_are_judged_with_their_mirror_images_where_asked_for(tiny):
    changes = "augment.flip=0", "augment.rotate=0", "optim.epochs=2"
    plain = train(tiny(*changes, out="plain"), quiet=True)
    both = train(tiny(*changes, "select.flip_tta=true", out="both"), quiet=True)
    assert both.run.read("metrics.json")["flip_tta"] is True
    assert plain.run.read("metrics.json")["flip_tta"] is False
    model = load_model(both.run.model)
    found = evaluate_model(model, both.data.val, flip_tta=True, precision="fp32", bootstrap=0)
    assert both.evaluation.report.nll == pytest.approx(found.report.nll, abs=1e-6)
    last = both.progress.records[-1]["val"]["nll"], plain.progress.records[-1]["val"]["nll"]
    assert abs(last[0] - last[1]) > 1e-6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("memory", ["ram", "device"])
def test_the_host_does_not_wait_for_the_gpu_within_a_step(tiny, memory):
    config = tiny("device=cuda", f"data.memory={memory}", "augment.cutmix=1", "optim.ema=0.9")
    trainer = prepared(config)
    trainer.train_epoch(Progress())
    progress = Progress(step=1)
    batches = list(trainer.data.train.batches(8))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches[:3]:
            trainer.train_step(batch, progress)
            progress.step += 1
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_images_kept_on_the_device_are_the_same(tiny):
    config = tiny("data.memory=device", "optim.epochs=2", out="device")
    first = train(config, quiet=True).run
    assert_same_run(first, train(tiny("optim.epochs=2", out="ram"), quiet=True).run)


def test_sgd_resumes_exactly_after_a_crash(tiny, monkeypatch):
    whole = train(tiny("optim.name=sgd", out="whole"), quiet=True).run
    config = tiny("optim.name=sgd", out="cut")
    real = Engine._evaluate

    def fail_in_the_second_epoch(self, progress):
        if progress.epoch == 1:
            raise OSError("the power went")
        return real(self, progress)

    monkeypatch.setattr(Engine, "_evaluate", fail_in_the_second_epoch)
    with pytest.raises(OSError, match="power"):
        train(config, quiet=True)
    monkeypatch.setattr(Engine, "_evaluate", real)
    assert_same_run(whole, train(config, resume=True, quiet=True).run)


def test_resuming_a_finished_run_changes_nothing(tiny):
    run = train(tiny(), quiet=True).run
    before = state(run)
    train(run.load_config(), resume=True, quiet=True)
    assert all(torch.equal(before[k], v) for k, v in state(run).items())


@pytest.fixture
def people_of(faces, tmp_path):
    """A manifest whose first training face has a label of one's choice."""

    def write(label):
        rows = ["path,label,split"]
        for split in ("train", "val"):
            for path in sorted((faces / split).rglob("*.png")):
                rows.append(f"{path},{path.parent.name},{split}")
        first, *rest = rows[1].split(",")
        rows[1] = ",".join([first, label, *rest[1:]])
        (tmp_path / "people.csv").write_text("\n".join(rows) + "\n")
        return tmp_path / "people.csv"

    return write


def test_a_run_is_never_overwritten(tiny):
    train(tiny(), quiet=True)
    with pytest.raises(TrainingError, match=r"--resume .*run"):
        train(tiny(), quiet=True)


def test_a_run_is_resumed_as_it_was_begun(tiny):
    run = train(tiny("optim.epochs=2"), quiet=True).run
    text = (run.path / "config.yaml").read_text()
    for old, new, words in (
        ("batch_size: 8", "batch_size: 4", r"optim\.batch_size=8; found 4.*Restore the value"),
        ("prompts: paper", "prompts: facs", r'text\.prompts="paper"; found "facs"'),
        ("epochs: 2\n", "epochs: 3\n", r"optim\.epochs=2"),
    ):
        assert old in text
        (run.path / "config.yaml").write_text(text.replace(old, new))
        with pytest.raises(CheckpointError, match=words):
            train(run.load_config(), resume=True, quiet=True)
    (run.path / "config.yaml").write_text(text.replace("memory: auto", "memory: lazy"))
    train(run.load_config(), resume=True, quiet=True)


def test_resuming_with_other_labels_is_refused(tiny, people_of):
    config = tiny("data.name=manifest", f"data.root={people_of('anger')}", "optim.epochs=2")
    train(config, quiet=True)
    people_of("happiness")
    with pytest.raises(CheckpointError, match="splits or labels differ"):
        train(config, resume=True, quiet=True)


def test_a_finished_run_without_checkpoints_is_not_trained_anew(tiny):
    run = train(tiny("optim.epochs=2"), quiet=True).run
    weights = (run.model / "model.safetensors").read_bytes()
    shutil.rmtree(run.checkpoints)
    with pytest.raises(CheckpointError, match="finished, and its checkpoints have been removed"):
        train(run.load_config(), resume=True, quiet=True)
    assert (run.model / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize(("name", "value"), [("step", 10**6), ("epoch", 4)])
def test_a_checkpoint_beyond_the_end_is_refused(tiny, name, value):
    run = train(tiny(), quiet=True).run
    path = latest_checkpoint(run.checkpoints) / "state.json"
    facts = json.loads(path.read_text())
    facts["progress"][name] = value
    path.write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match="up to 3 epochs of 5 steps"):
        train(run.load_config(), resume=True, quiet=True)


def test_resuming_with_other_data_is_refused(tiny, faces, tmp_path):
    config = tiny("data.fraction=0.5")
    train(config, quiet=True)
    with pytest.raises(CheckpointError, match="dataset has changed"):
        train(config.model_copy(update={"seed": 1}), resume=True, quiet=True)


def test_a_damaged_checkpoint_is_named(tiny):
    run = train(tiny(), quiet=True).run
    path = latest_checkpoint(run.checkpoints)
    data = bytearray((path / "state.safetensors").read_bytes())
    data[-20] ^= 1
    (path / "state.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match=path.name):
        train(run.load_config(), resume=True, quiet=True)


def test_only_the_newest_checkpoints_are_kept(tiny):
    run = train(tiny("keep_checkpoints=2"), quiet=True).run
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["00002-00000000", "00003-00000000"]


@pytest.fixture
def nan_in_steps(monkeypatch):
    """Make the loss of some steps of a run, counted from 0, not finite."""

    def install(steps):
        real, count = recognition.KE2NTLoss.forward, iter(range(10**6))

        def broken(self, *args):
            total, parts = real(self, *args)
            return total * float("nan") if next(count) in steps else total, parts

        monkeypatch.setattr(recognition.KE2NTLoss, "forward", broken)

    return install


def test_a_loss_that_is_not_finite_stops_with_the_batch_saved(tiny, nan_in_steps):
    nan_in_steps({2})
    config = tiny()
    with pytest.raises(TrainingError, match=r"NaN or infinite.*epoch 1, step 3.*optim\.lr"):
        train(config, quiet=True)
    run = RunDirectory(config.out)
    facts = run.read("not_finite.json")
    batch = load_file(run.path / "not_finite.safetensors")
    assert len(facts["names"]) == 8 == len(batch["labels"])
    assert batch["pixels"].shape == (8, 3, 24, 24)
    classes = [name.split("/")[-2] for name in facts["names"]]
    order = facts["classes"]
    assert [order[i] for i in batch["labels"].tolist()] == classes


@pytest.mark.parametrize("bad", [1, 3, 4, 7])
def test_a_device_that_is_looked_at_late_keeps_the_same_batch(tiny, nan_in_steps, monkeypatch, bad):
    """As on a GPU; looked at after each fourth step and at the end of an epoch of five."""
    changes = "optim.epochs=2", "augment.rotate=10"
    kept = {}
    for late in (False, True):
        if late:
            monkeypatch.setattr(Engine, "_check_deferred", True)
            monkeypatch.setattr(engine, "_CHECK_EVERY", 4)
        nan_in_steps({bad})
        config = tiny(*changes, out=f"late-{late}")
        with pytest.raises(TrainingError, match=r"NaN or infinite.*found nan in epoch"):
            train(config, quiet=True)
        run = RunDirectory(config.out)
        kept[late] = run.read("not_finite.json"), load_file(run.path / "not_finite.safetensors")
    assert kept[True][0] == kept[False][0]
    assert kept[True][0]["epoch"] * 5 + kept[True][0]["step"] == 6 + bad
    for name in ("pixels", "labels"):
        assert torch.equal(kept[True][1][name], kept[False][1][name])


def test_steps_that_are_not_finite_can_be_skipped_and_are_counted(tiny, nan_in_steps):
    nan_in_steps({1, 3, 7})
    result = train(tiny("optim.not_finite=skip", "optim.epochs=2"), quiet=True)
    assert [r.get("skipped", 0) for r in result.progress.records] == [2, 1]
    assert all(math.isfinite(r["loss"]["total"]) for r in result.progress.records)


def test_a_step_that_is_left_out_leaves_no_statistics(tiny, monkeypatch):
    real, count = AugmentedImages.model_input, iter(range(10**6))

    def infinite(self, images):
        return real(self, images) * (float("inf") if next(count) == 2 else 1.0)

    monkeypatch.setattr(AugmentedImages, "model_input", infinite)
    result = train(tiny("optim.not_finite=skip", "optim.epochs=2"), quiet=True)
    assert [r.get("skipped", 0) for r in result.progress.records] == [1, 0]
    state = load_file(latest_checkpoint(result.run.checkpoints) / "state.safetensors")
    counts = {int(v) for k, v in state.items() if k.endswith("num_batches_tracked")}
    assert counts == {9}  # 10 steps in the model; those of the average follow it
    assert all(v.isfinite().all() for v in state.values())


def test_skipping_ends_where_no_step_is_finite(tiny, nan_in_steps):
    nan_in_steps(set(range(1000)))
    with pytest.raises(TrainingError, match="NaN or infinite"):
        train(tiny("optim.not_finite=skip", "optim.epochs=9"), quiet=True)


def _no_gpu_memory():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")


def _no_memory():
    torch.empty(2**58)


@pytest.mark.parametrize("allocate", [_no_gpu_memory, _no_memory])
def test_too_little_memory_says_what_to_lower(tiny, monkeypatch, allocate):
    def fail(self, *args):
        allocate()

    monkeypatch.setattr(recognition.KE2NTLoss, "forward", fail)
    with pytest.raises(TrainingError, match=r"not enough memory.*batch_size=8.*Lower optim"):
        train(tiny(), quiet=True)


def test_too_little_memory_for_the_images_says_where_else_they_may_be(tiny, monkeypatch):
    monkeypatch.setattr(FaceTensors, "to", lambda self, device: _no_gpu_memory())
    with pytest.raises(TrainingError, match=r"not enough memory.*Use data\.memory=ram"):
        train(tiny("data.memory=device"), quiet=True)


def test_other_runtime_errors_stay_what_they_are(tiny, monkeypatch):
    def fail(self, *args):
        raise RuntimeError("something else")

    monkeypatch.setattr(recognition.KE2NTLoss, "forward", fail)
    with pytest.raises(RuntimeError, match="something else"):
        train(tiny(), quiet=True)


def test_recipe_options_work_together(tiny):
    changes = (
        "augment.mixup=0.4",
        "augment.cutmix=1",
        "data.sampling=balanced",
        "optim.layer_decay=0.7",
        "optim.epochs=2",
    )
    first = train(tiny(*changes, out="one"), quiet=True).run
    assert_same_run(first, train(tiny(*changes, out="two"), quiet=True).run)


def test_a_model_knows_how_small_its_pictures_were(tiny):
    run = train(
        tiny("model.image_size=32", "optim.epochs=1", "optim.warmup_epochs=0"), quiet=True
    ).run
    assert load_model(run.model).card["predict"] == {"face_pixels": 24}
    config = tiny("model.image_size=24")
    data = load_training_data(config, Preprocessing(image_size=24), quiet=True)
    assert data.face_pixels() is None


def test_deterministic_is_set_for_the_run_that_asks(tiny):
    train(tiny("deterministic=true", "optim.epochs=2", out="one"), quiet=True)
    assert torch.are_deterministic_algorithms_enabled()
    train(tiny("optim.epochs=2", out="two"), quiet=True)
    assert not torch.are_deterministic_algorithms_enabled()


def test_corrupted_images_are_trained_on_and_named(tiny):
    options = "data.options={of: folder, kind: contrast, severity: 2}"
    result = train(tiny("data.name=corruptions", options), quiet=True)
    assert result.data.train.split.dataset == "folder contrast 2"
    plain = train(tiny(out="plain"), quiet=True)
    seen, unchanged = (next(r.data.train.batches(40)).pixels.float() for r in (result, plain))
    assert seen.std() < 0.5 * unchanged.std()
    assert result.run.read("metrics.json")["dataset"] == "folder contrast 2"


def test_a_linear_head_trains_saves_and_loads(tiny):
    run = train(tiny("model.head=linear", "optim.epochs=2"), quiet=True).run
    model = load_model(run.path)
    assert model.bank is None
    assert model.classes == ("neutral", "happiness", "anger")
    assert set(json.loads((run.path / "log.jsonl").read_text().splitlines()[0])["loss"]) == {
        "total",
        "similarity",
    }


def test_a_validation_split_is_carved_when_there_is_none(tiny):
    run = train(
        tiny("data.val_split=null", "data.val_fraction=0.3", "optim.epochs=2"), quiet=True
    ).run
    split = run.read("split.json")
    train_names, val_names = set(split["train"]["names"]), set(split["val"]["names"])
    assert not train_names & val_names
    assert len(train_names | val_names) == 42
    assert 9 <= len(val_names) <= 15


def test_choosing_on_the_training_split_is_refused(tiny, faces, tmp_path):
    root = shutil.copytree(faces, tmp_path / "three")
    shutil.copytree(root / "val", root / "test")
    with pytest.raises(DataError, match="chosen on the training images"):
        train(tiny("data.val_split=train"), quiet=True)
    with pytest.raises(DataError, match="chosen on the training images"):
        train(tiny("select.on=test", "data.train_split=test", f"data.root={root}"), quiet=True)


def test_held_out_classes_are_in_no_split(tiny):
    run = train(tiny("data.hold_out=[anger]", "optim.epochs=2"), quiet=True).run
    assert run.read("run.json")["classes"] == ["neutral", "happiness"]
    assert not any("anger" in n for part in run.read("split.json").values() for n in part["names"])


def test_a_bad_image_is_counted_and_named(tiny, faces, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(faces, root)
    (root / "train" / "anger" / "0.png").write_bytes(b"")
    (root / "val" / "anger" / "0.png").write_bytes(b"GIF89a nonsense")
    run = train(tiny(f"data.root={root}", "optim.epochs=2"), quiet=True).run
    unreadable = run.read("run.json")["unreadable"]
    assert len(unreadable) == 2
    assert all("anger" in name and name.endswith("0.png") for name in unreadable)
    assert run.read("metrics.json")["n"] == 17


def test_the_optimistic_protocol_says_so(tiny, faces, tmp_path, with_report):
    root = tmp_path / "three"
    shutil.copytree(faces, root)
    shutil.copytree(root / "val", root / "test")
    run = train(tiny(f"data.root={root}", "select.on=test", "optim.epochs=2"), quiet=True).run
    assert "OPTIMISTIC" in run.read("metrics.json")["selection"]["notes"][0]
    assert run.read("metrics.json")["split"] == "test"
    assert "OPTIMISTIC" in run.report.read_text()


@pytest.mark.parametrize(("rule", "optimistic"), [("best", True), ("last", False)])
def test_another_name_for_the_test_split_is_no_way_round_it(
    tiny, faces, tmp_path, rule, optimistic
):
    root = shutil.copytree(faces, tmp_path / "three")
    shutil.copytree(root / "val", root / "test")
    changes = f"data.root={root}", "data.val_split=test", f"select.rule={rule}", "optim.epochs=2"
    run = train(tiny(*changes), quiet=True).run
    assert ("OPTIMISTIC" in str(run.read("metrics.json")["selection"]["notes"])) is optimistic


def test_a_model_that_has_diverged_is_said_so(tiny, monkeypatch):
    def nothing_finite(*arguments, **options):
        raise ModelError("the model gives logits that are not finite")

    monkeypatch.setattr(selection, "evaluate_model", nothing_finite)
    with pytest.raises(TrainingError, match=r"diverged \(in .*epoch 1\).*not finite.*optim\.lr"):
        train(tiny(), quiet=True)


def test_packing_keeps_how_large_the_pictures_were(tiny, faces, tmp_path):
    pack_dataset(get_reader("folder", faces), tmp_path / "packed", 48, quiet=True)
    large = tiny("data.name=packed", f"data.root={tmp_path / 'packed'}", "model.image_size=48")
    plain = tiny("model.image_size=48")
    sides = [load_training_data(c, Preprocessing(48)).face_pixels() for c in (large, plain)]
    assert sides == [24, 24]


def test_initial_weights_are_reported(tiny):
    first = train(tiny("optim.epochs=2", out="first"), quiet=True).run
    weights = first.model / "model.safetensors"
    second = train(tiny(f"model.weights={weights}", "optim.epochs=2", out="second"), quiet=True).run
    assert "model.safetensors" in second.read("run.json")["initial_weights"]["source"]


@pytest.mark.parametrize(
    ("override", "word"), [("device=cuda", "CUDA"), ("device=toaster", "unknown device")]
)
def test_a_device_that_is_not_there_is_one_clear_error(tiny, override, word):
    if override == "device=cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(TrainingError, match=word):
        train(tiny(override), quiet=True)
