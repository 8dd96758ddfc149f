"""Stage 2: what each term trains, schedules, both stages in one run, errors."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file

from ke2nt.errors import CheckpointError, ConfigError, DataError
from ke2nt.generation import train_jointly as stage_two
from ke2nt.generation.build_networks import build_critics
from ke2nt.generation.gan_draws import sample_gan_draws
from ke2nt.generation.joint_task import JointTask
from ke2nt.generation.losses.intra_class import intra_class_loss
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.saved_gan import load_critics
from ke2nt.generation.train_generator import pretrain
from ke2nt.generation.train_jointly import train
from ke2nt.models.batch_norms import keep_statistics
from ke2nt.models.load import load_model
from ke2nt.runtime.renamed import RenamedWarning
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.engine import Engine
from ke2nt.training.interrupts import TrainingStopped
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A pretraining run, made once."""
    return tmp_path_factory.mktemp("source") / "run"


@pytest.fixture
def joint(tiny, source, monkeypatch):
    """A configuration of stage 2 that starts from the run of `source`."""
    if not source.exists():
        pretrain(tiny("gan.optim.epochs=1").model_copy(update={"out": str(source)}), quiet=True)

    def make(*overrides, out="joint"):
        return tiny(f"joint.generator={source}", *overrides, out=out)

    return make


@pytest.fixture
def one_step(monkeypatch):
    """Run the first step of a run; return the engine and the loss parts."""

    def run(config):
        results = []

        def fit(self, progress):
            self.task.state.train()
            batch = next(self.data.train.batches(8))
            self.task.state.optimizer.step = lambda: None  # gradients remain for inspection
            results.append((self, self.train_step(batch, Progress())))
            raise TrainingStopped

        monkeypatch.setattr(Engine, "fit", fit)
        with pytest.raises(TrainingStopped):
            train(config, quiet=True)
        return results[0]

    return run


def has_gradient(module):
    return any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


ALONE = ("joint.gan_weight=0", "joint.intra_class=0", "joint.weight=0")


@pytest.mark.parametrize(
    "term", ["joint.weight=1", "joint.intra_class=1", "joint.consistency=1", "joint.gan_weight=1"]
)
def test_every_term_trains_the_generator(joint, one_step, term):
    engine, parts = one_step(joint(*ALONE, term))
    assert has_gradient(engine.task.generator.decoder)
    assert has_gradient(engine.task.model)
    assert has_gradient(engine.task.objective.critics) is (term == "joint.gan_weight=1")
    assert not has_gradient(engine.task.average.model)
    assert all(torch.isfinite(part) for part in parts.values())


def test_synthetic_faces_have_the_expression_they_are_edited_to(joint, one_step, monkeypatch):
    """Not that of their source; and their features have a gradient."""
    seen = {}

    def spy(real, labels, synthetic, requested, *, rdbp):
        seen["intra_class"] = (labels, requested)
        assert real.requires_grad
        assert synthetic.requires_grad
        return intra_class_loss(real, labels, synthetic, requested, rdbp=rdbp)

    def draw(*arguments):
        seen["draws"] = sample_gan_draws(*arguments)
        return seen["draws"]

    monkeypatch.setattr("ke2nt.generation.synthetic_losses.intra_class_loss", spy)
    monkeypatch.setattr("ke2nt.generation.joint_task.sample_gan_draws", draw)
    engine, _ = one_step(joint("joint.source=edits", "joint.share=1"))
    labels, requested = seen["intra_class"]
    assert torch.equal(requested, seen["draws"].edit_expressions)
    assert not torch.equal(requested, labels)

    # the recognizer's loss takes the same labels
    losses, given = engine.task.synthetic_losses, []
    monkeypatch.setattr(losses.loss, "forward", lambda out, y, bank: given.append(y) or (0.0, {}))
    output = engine.task.model(torch.rand(8, 3, 16, 16))
    losses._recognition_terms(output, labels, output, requested)
    assert torch.equal(given[0], requested)


def test_generator_has_no_gradient_between_its_steps(joint, one_step, monkeypatch):
    monkeypatch.setattr(JointTask, "_trains_generator", lambda self, position: False)
    engine, parts = one_step(joint())
    assert not has_gradient(engine.task.generator)
    assert has_gradient(engine.task.objective.critics)
    assert "synthetic" in parts
    assert "reconstruction" not in parts


def test_frozen_generator_is_unchanged(joint, source):
    before = FaceGenerator.load(source).state_dict()
    run = train(joint("joint.frozen=true", "joint.consistency=0.1"), quiet=True).run
    after = {
        k.removeprefix("extra.fixed.generator."): v
        for k, v in load_file(latest_checkpoint(run.checkpoints) / "state.safetensors").items()
        if k.startswith("extra.")
    }
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_no_synthetic_faces_before_the_start(joint, one_step):
    engine, parts = one_step(joint("joint.start=0.5"))
    assert set(parts) == {"total", "similarity", "transformation", "self_contrast"}
    assert not has_gradient(engine.task.generator)


@pytest.mark.parametrize("head", ["text", "linear"])
def test_share_sets_the_number_of_synthetic_faces(joint, one_step, monkeypatch, head):
    seen = []
    real = JointTask.forward

    def spy(self, images, scale=None):
        seen.append(len(images))
        return real(self, images, scale)

    monkeypatch.setattr(JointTask, "forward", spy)
    one_step(joint("joint.share=1.5", f"model.head={head}"))
    assert seen == [8, 12]


def test_low_confidence_faces_are_ignored(joint, one_step):
    _, parts = one_step(joint("joint.min_confidence=0.99"))
    assert "synthetic" not in parts
    assert "intra_class" in parts


def test_synthetic_faces_do_not_change_batch_statistics():
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(2), torch.nn.BatchNorm2d(2, momentum=None))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    images = torch.randn(4, 2, 3, 3) * 5 + 2
    with keep_statistics(model):
        out = model(images)
    assert out.mean().abs() < 1e-5  # normalized by the statistics of the batch
    after = model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_learning_rate_of_the_gan_is_separate_and_halved_by_a_rollback(joint, one_step):
    def groups(engine):
        return engine.task.state.optimizer.param_groups[-2:]

    def relative_rates(engine):
        first = engine.task.state.optimizer.param_groups[0]
        return [group["lr"] / first["lr"] for group in groups(engine)]

    engine, _ = one_step(joint("joint.lr=0.002"))
    gan_parameters = {p for group in groups(engine) for p in group["params"]}
    assert gan_parameters == {
        *engine.task.generator.parameters(),
        *engine.task.objective.critics.parameters(),
    }
    assert relative_rates(engine) == pytest.approx([0.5, 0.5])  # optim.lr is 0.004
    engine.task.guard.rollbacks.fill_(1)
    engine.train_step(next(engine.data.train.batches(8)), Progress())
    assert relative_rates(engine) == pytest.approx([0.25, 0.25])


def test_natural_balance_uses_class_frequencies(joint, one_step):
    engine, _ = one_step(joint("joint.balance=natural"))
    assert engine.task.class_weights.tolist() == [8, 8, 8]
    engine, _ = one_step(joint(out="other"))
    assert engine.task.class_weights.tolist() == [1, 1, 1]


def test_both_stages_run_and_resume(tiny, monkeypatch):
    whole = train(tiny("joint.consistency=0.1", out="whole"), quiet=True).run
    assert (whole.path / "synthesis" / "generator").is_dir()
    assert (whole.path / "generator").is_dir()
    assert load_model(whole.path).classes == ("neutral", "happiness", "anger")
    assert whole.read("run.json")["status"] == "finished"
    real, steps = Engine.train_step, [0]

    def step_then_interrupt(self, batch, progress):
        parts = real(self, batch, progress)
        steps[0] += isinstance(self.task, JointTask)  # not in stage 1
        if steps[0] == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return parts

    monkeypatch.setattr(Engine, "train_step", step_then_interrupt)
    config = tiny("joint.consistency=0.1", out="stopped")
    killed_at_once = RunDirectory(f"{config.out}/synthesis")
    killed_at_once.create(config.model_copy(update={"out": str(killed_at_once.path)}))
    with pytest.raises(TrainingStopped):
        train(config, resume=True, quiet=True)
    monkeypatch.setattr(stage_two, "pretrain", None)  # stage 1 is not run again
    resumed = train(config, resume=True, quiet=True).run
    states = [
        load_file(latest_checkpoint(run.checkpoints) / "state.safetensors")
        for run in (whole, resumed)
    ]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_critics_are_found_beside_the_generator(joint, tiny, source, tmp_path, capsys):
    joint()  # the source is there
    whole = shutil.copytree(source, tmp_path / "whole" / "synthesis")
    expected = load_file(source / "critics.safetensors")
    names = [source, tmp_path / "whole", whole, whole / "generator"]
    for name in names:
        critics = build_critics(tiny().gan, FaceGenerator.load(source))
        load_critics(critics, name)
        assert all(torch.equal(expected[k], v) for k, v in critics.state_dict().items())
    assert capsys.readouterr().err == ""
    (whole / "critics.safetensors").unlink()
    load_critics(critics, whole)
    assert "they start untrained" in capsys.readouterr().err


def test_jointly_trained_generator_is_saved_with_critics(joint):
    run = train(joint("gan.samples.every=1"), quiet=True).run
    assert (run.path / "critics.safetensors").is_file()


def test_only_gradients_of_the_recognizer_are_clipped(joint, one_step, monkeypatch):
    clipped = []
    monkeypatch.setattr(
        "torch.nn.utils.clip_grad_norm_",
        lambda parameters, limit: clipped.append([id(p) for p in parameters]),
    )
    engine, _ = one_step(joint("optim.clip=1"))
    assert clipped == [[id(p) for p in engine.task.model.parameters()]]


def test_linear_head(joint):
    run = train(joint("model.head=linear"), quiet=True).run
    assert load_model(run.path).bank is None


def test_attention_heads(joint, one_step):
    engine, parts = one_step(joint(*ALONE, "joint.weight=1", "model.attention=true"))
    assert "synthetic" in parts
    assert has_gradient(engine.task.generator.decoder)


@pytest.mark.parametrize(
    ("override", "error", "words"),
    [
        ("optim.name=sgd", ConfigError, "needs Adam"),
        ("model.head=linear joint.consistency=1", ConfigError, "transformation network"),
        ("augment.mixup=0.2", ConfigError, "mixed faces have no single class.*joint.intra_class=0"),
        ("augment.cutmix=1 joint.consistency=1", ConfigError, "cutmix 1"),
        ("joint.generator=nowhere", CheckpointError, "no saved generator"),
        ("model.gray=false", DataError, "uses color"),
        ("data.hold_out=[anger]", DataError, "different expressions"),
        ("gan.network.critic_width=8", CheckpointError, "critics do not fit"),
    ],
)
def test_invalid_combination_is_a_clear_error(joint, override, error, words):
    with pytest.raises(error, match=words):
        train(joint(*override.split(" ")), quiet=True)


def test_old_key_of_the_gan_weight_still_works(joint):
    with pytest.warns(RenamedWarning, match=r"joint\.gan_weight"):
        assert joint("joint.game=0.5").joint.gan_weight == 0.5
