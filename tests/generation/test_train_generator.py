"""Stage 1 end to end: files of a run, resuming, problems of data and of the training."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest
import torch
from gan_faces import write_images
from safetensors.torch import load_file

from ke2nt.config.gan import FesganConfig, GanOptimConfig, JointConfig
from ke2nt.config.schema import AugmentConfig, LossConfig, ModelConfig, OptimConfig, TextConfig
from ke2nt.config.section import Section
from ke2nt.config.unused_keys import find_unused_keys
from ke2nt.errors import ConfigError, DataError, Ke2ntError, TrainingError
from ke2nt.generation.gan_objective import GanObjective
from ke2nt.generation.train_generator import pretrain
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.engine import Engine
from ke2nt.training.interrupts import TrainingStopped
from ke2nt.training.run_directory import RunDirectory


def state(run):
    return load_file(latest_checkpoint(run.checkpoints) / "state.safetensors")


def assert_same_run(a, b):
    first, second = state(a), state(b)
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_files_of_a_run(tiny, with_images):
    result = pretrain(tiny(), quiet=True, command="ke2nt gan pretrain x")
    run = result.run
    assert {path.name for path in run.path.iterdir()} == {
        "config.yaml",
        "begun.json",
        "run.json",
        "split.json",
        "log.jsonl",
        "checkpoints",
        "generator",
        "critics.safetensors",
        "samples",
    }
    images = run.path / "samples" / "epoch-00002"
    assert {p.name for p in images.iterdir()} == {
        "edits.png",
        "new.png",
        "identity.png",
        "intensity.png",
    }
    facts = run.read("run.json")
    assert facts["status"] == "finished"
    assert facts["classes"] == ["neutral", "happiness", "anger"]
    assert facts["provenance"]["command"] == "ke2nt gan pretrain x"
    records = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in records] == [1, 2]
    assert {"critic", "gap", "reconstruction", "identity", "expression"} <= records[0][
        "loss"
    ].keys()
    assert records[0]["diversity"] > 0
    assert result.generator.provenance["epoch"] == 2
    assert run.load_config(FesganConfig) == tiny()


def test_generator_learns_to_reconstruct(tiny):
    records = pretrain(tiny("gan.optim.epochs=12"), quiet=True).progress.records
    first, last = records[0]["loss"], records[-1]["loss"]
    assert last["reconstruction"] < 0.8 * first["reconstruction"]
    assert last["critic_expression"] < 0.8 * first["critic_expression"]


def test_resumed_run_equals_an_uninterrupted_run(tiny, monkeypatch):
    options = ("gan.loss.adversary=wgan-gp", "gan.optim.critic_steps=2")
    whole = pretrain(tiny(*options, out="whole"), quiet=True).run
    real, steps = Engine.train_step, [0]

    def step_then_interrupt(self, batch, progress):
        parts = real(self, batch, progress)
        steps[0] += 1
        if steps[0] == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return parts

    monkeypatch.setattr(Engine, "train_step", step_then_interrupt)
    config = tiny(*options, out="stopped")
    with pytest.raises(TrainingStopped):
        pretrain(config, quiet=True)
    assert "stopped" in RunDirectory(config.out).read("run.json")["status"]
    resumed = pretrain(config, resume=True, quiet=True).run
    assert_same_run(whole, resumed)
    with pytest.raises(TrainingError, match=r"ke2nt gan pretrain --resume"):
        pretrain(config, quiet=True)


@pytest.mark.parametrize("resume", [False, True])
def test_used_folder_is_refused_before_images_are_read(tiny, monkeypatch, tmp_path, resume):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("seed: 1\n")
    (tmp_path / "run" / "run.json").write_text('{"status": "finished"}')
    read = "ke2nt.generation.train_generator.load_training_data"
    monkeypatch.setattr(read, lambda *_, **__: pytest.fail("images were read"))
    with pytest.raises(Ke2ntError, match=r"already holds a run|run is finished"):
        pretrain(tiny(), resume=resume, quiet=True)


def test_critics_step_more_often_than_the_generator(tiny):
    run = pretrain(tiny("gan.optim.critic_steps=4"), quiet=True).run  # 24 images: 3 steps an epoch
    steps = {float(v) for k, v in state(run).items() if k.endswith(".step")}
    assert steps == {2.0, 6.0}


def fake_diversity(monkeypatch, ratio):
    monkeypatch.setattr("ke2nt.generation.synthesis_task.compute_diversity_ratio", lambda *a: ratio)


GUARD = "gan.guard={action: %s, grace: 1, patience: 1, max_rollbacks: 2}"


def test_collapse_stops_the_run_and_keeps_checkpoints(tiny, monkeypatch):
    fake_diversity(monkeypatch, 0.001)
    config = tiny(GUARD % "stop", "gan.optim.epochs=5")
    with pytest.raises(TrainingError, match=r"mode collapse.*epoch 2.*gan\.loss\.adversary=r1"):
        pretrain(config, quiet=True)
    run = RunDirectory(config.out)
    assert latest_checkpoint(run.checkpoints).name.startswith("00001")
    assert "mode collapse" in (run.path / "log.jsonl").read_text()


def test_collapse_can_be_logged_only(tiny, monkeypatch, capsys):
    fake_diversity(monkeypatch, 0.001)
    result = pretrain(tiny(GUARD % "log", "gan.optim.epochs=3"), quiet=True)
    assert [bool(r["fault"]) for r in result.progress.records] == [False, True, True]
    assert "mode collapse" in capsys.readouterr().err


def test_collapse_can_roll_back_at_half_the_learning_rates(tiny, monkeypatch):
    ratios = iter([0.5, 0.001, 0.5, 0.5])
    monkeypatch.setattr(
        "ke2nt.generation.synthesis_task.compute_diversity_ratio", lambda *a: next(ratios)
    )
    config = tiny(GUARD % "rollback", "gan.optim.epochs=3", "gan.optim.decay_from=1")
    result = pretrain(config, quiet=True)
    assert [r["epoch"] for r in result.progress.records] == [1, 2, 3]
    assert result.progress.records[0]["rolled_back"][0]["from_epoch"] == 2
    rates = [r["lr"] for r in result.progress.records]
    assert rates[1] == pytest.approx(rates[0] / 2)
    assert state(result.run)["extra.guard.rollbacks"] == 1


def test_number_of_rollbacks_is_limited(tiny, monkeypatch):
    monkeypatch.setattr(
        "ke2nt.generation.guard.Guard.check_epoch",
        lambda self, epoch, *a: "mode collapse" if epoch > 1 else None,
    )
    with pytest.raises(TrainingError, match="after 2 rollbacks"):
        pretrain(tiny(GUARD % "rollback", "gan.optim.epochs=4"), quiet=True)


def test_non_finite_loss_stops_and_saves_the_batch(tiny, monkeypatch):
    monkeypatch.setattr(
        "ke2nt.generation.losses.hinge.HingeAdversary.critic",
        lambda self, r, f: (r - f).mean() / 0.0,
    )
    config = tiny()
    with pytest.raises(TrainingError, match=r"NaN or infinite.*gan\.optim\.lr"):
        pretrain(config, quiet=True)
    assert (RunDirectory(config.out).path / "not_finite.safetensors").exists()


@pytest.mark.parametrize("critic_steps", [1, 2])
def test_skipping_stops_if_no_generator_step_is_finite(tiny, monkeypatch, critic_steps):
    """The critic loss before it is finite."""
    real = GanObjective.generator_loss

    def not_finite(self, *arguments, **options):
        total, parts = real(self, *arguments, **options)
        return total * float("nan"), parts

    monkeypatch.setattr(GanObjective, "generator_loss", not_finite)
    monkeypatch.setattr("ke2nt.training.loss_guard._MAX_SKIPPED", 3)
    changes = f"gan.optim.critic_steps={critic_steps}", "gan.optim.epochs=6"
    config = tiny("gan.optim.not_finite=skip", *changes)
    with pytest.raises(TrainingError, match="NaN or infinite"):
        pretrain(config, quiet=True)


def test_generator_losses_are_means_over_generator_steps(tiny, monkeypatch):
    real = GanObjective.generator_loss

    def with_constant(self, *arguments, **options):
        total, parts = real(self, *arguments, **options)
        return total, {"constant": torch.tensor(5.0), **parts}

    monkeypatch.setattr(GanObjective, "generator_loss", with_constant)
    run = pretrain(tiny("gan.optim.critic_steps=2", "gan.optim.epochs=3"), quiet=True).run
    log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert [record["loss"]["constant"] for record in log] == [5.0] * 3


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"neutral": 6, "happiness": 1, "anger": 6}, "happiness has 1"),
        ({"neutral": 6, "happiness": 6, "anger": 1}, "anger has 1"),
    ],
)
def test_class_with_one_image_is_a_clear_error(tiny, tmp_path, counts, words):
    root = write_images(tmp_path / "few", counts)
    with pytest.raises(DataError, match=rf"too few images.*{words}.*data\.hold_out"):
        pretrain(tiny(root=root), quiet=True)
    assert not (tmp_path / "run").exists()
    pretrain(tiny("gan.min_images=1", "gan.optim.epochs=1", root=root), quiet=True)


def test_class_without_images_is_a_clear_error(tiny, faces, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(faces, root)
    shutil.rmtree(root / "train" / "anger")
    with pytest.raises(DataError, match=r"anger has 0"):
        pretrain(tiny(root=root), quiet=True)


def test_gray_images_among_color_images_are_a_clear_error(tiny, faces, tmp_path):
    root = write_images(tmp_path / "mixed", {"neutral": 4, "happiness": 4, "anger": 4}, color=True)
    shutil.copy(faces / "train" / "anger" / "0.png", root / "train" / "anger" / "0.png")
    with pytest.raises(DataError, match=r"1 of 12 images are gray.*model\.gray=true"):
        pretrain(tiny("model.gray=false", root=root), quiet=True)
    result = pretrain(tiny("gan.optim.epochs=1", root=root, out="gray"), quiet=True)
    assert result.generator.channels == 1


def test_unreadable_image_is_reported(tiny, faces, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(faces, root)
    (root / "train" / "anger" / "0.png").write_bytes(b"")
    run = pretrain(tiny("gan.optim.epochs=1", root=root), quiet=True).run
    assert list(run.read("run.json")["unreadable"]) == ["train/anger/0.png"]


@pytest.mark.parametrize("size", [40, 50])
def test_unsupported_image_size_is_refused_by_the_configuration(tiny, size):
    with pytest.raises(ConfigError, match=r"multiple of 16"):
        tiny(f"model.image_size={size}")
    assert tiny(f"model.image_size={size}", "gan.image_size=48").gan_size == 48


def test_critics_have_their_own_augmentation(tiny):
    changed = tiny("gan.critic_augment={rotate: 10, erase: 0.5}").gan.critic_augment
    assert (changed.rotate, changed.translate, changed.flip) == (10, 0.1, 0)
    assert (changed.erase, changed.erase_area) == (0.5, (0.1, 0.25))
    with pytest.raises(ConfigError, match=r"gan\.critic_augment\.mixup"):
        tiny("gan.critic_augment.mixup=0.5")


@pytest.mark.parametrize(
    ("gan", "data", "used"),
    [("balanced", "natural", "balanced"), ("null", "sqrt", "sqrt"), ("natural", "sqrt", "natural")],
)
def test_sampling_of_the_generator_is_its_own(tiny, monkeypatch, gan, data, used):
    seen = []

    def record(positions, classes, sampling, generator):
        seen.append(sampling)
        return positions

    monkeypatch.setattr("ke2nt.training.sampling.epoch_order", record)
    config = tiny(f"gan.sampling={gan}", f"data.sampling={data}", "gan.optim.epochs=1")
    run = pretrain(config, quiet=True).run
    assert set(seen) == {used}
    assert run.load_config(FesganConfig).data.sampling == data


def test_keys_that_are_refused_are_never_read(tiny, monkeypatch):
    config = tiny("gan.optim.epochs=1", "gan.samples.every=5")
    unused = find_unused_keys("gan pretrain", config)
    read = set()

    def record(section, name, plain=Section.__getattribute__):
        if name in type(section).__pydantic_fields__:
            read.add((type(section), name))
        return plain(section, name)

    monkeypatch.setattr(Section, "__getattribute__", record)
    pretrain(config, quiet=True)
    optimizer = {name for kind, name in read if kind is OptimConfig}
    assert optimizer <= {"sync_batch_norm"}
    assert not {kind for kind, _ in read} & {JointConfig, LossConfig, TextConfig, AugmentConfig}
    assert "compile" not in {name for _, name in read}
    assert {name for kind, name in read if kind is ModelConfig} == {"image_size", "gray"}

    # the generator's own schedule is read, and not refused
    schedule = {f"gan.optim.{name}" for kind, name in read if kind is GanOptimConfig}
    assert {"gan.optim.epochs", "gan.optim.lr"} <= schedule
    assert not schedule & unused.keys()
