"""Adaptations end to end: every method, no label of the target, resuming, choosing, faults."""

from __future__ import annotations

import copy
import json
import os
import signal

import pytest
import torch
from adapt_domains import draw
from command_line import run_ke2nt_twice
from safetensors.torch import load_file

from ke2nt.adapt import adapt_model as driver
from ke2nt.adapt.adapt_model import adapt
from ke2nt.adapt.adaptation_task import AdaptationTask
from ke2nt.adapt.adversarial import DomainDiscriminator
from ke2nt.adapt.methods import METHODS
from ke2nt.adapt.setup import prepare_adaptation
from ke2nt.banks.text_bank import TextBank
from ke2nt.config.adapt import AdaptConfig
from ke2nt.config.load import config_to_yaml
from ke2nt.data.sample import FaceSample
from ke2nt.datasets.folder import ImageFolder
from ke2nt.errors import CheckpointError, ConfigError, LabelError, TrainingError
from ke2nt.models.batch_norms import batch_norms
from ke2nt.models.load import load_model
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.device import Compute
from ke2nt.training.engine import Engine
from ke2nt.training.interrupts import TrainingStopped
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train


def weights(result_or_run):
    run = getattr(result_or_run, "run", result_or_run)
    return load_file(run.model / "model.safetensors")


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def differ(a, b):
    return any(not torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs(tiny, method):
    config = tiny(f"adapt.method={method}", "optim.epochs=1")
    result = adapt(config, quiet=True)
    log = json.loads((result.run.path / "log.jsonl").read_text().splitlines()[-1])
    assert set(log["loss"]) == {
        "total",
        "similarity",
        "transformation",
        "self_contrast",
        *METHODS[method],
    }
    assert 0 <= log["target"]["confidence"] <= 1
    assert log["val"]["uar"] >= 0
    assert result.run.read("run.json")["status"] == "finished"
    assert differ(weights(result), load_file(f"{config.start}/model/model.safetensors"))


def test_dmsrl_with_text_trains_every_part(tiny):
    config = tiny(
        "adapt.weights={text: 0.5}",
        "adapt.centers=text",
        "adapt.teacher=average",
        "adapt.balance=0.5",
        "adapt.threshold=0.3",
        "adapt.source_prompts=simple",
    )
    result = adapt(config, quiet=True)
    state = load_file(latest_checkpoint(result.run.checkpoints) / "state.safetensors")
    moved = {name for name in state if name.startswith("extra.parts.metric")}
    assert moved == {
        "extra.parts.metric.loss.source_centers",
        "extra.parts.metric.loss.target_centers",
    }
    centers = [state[name] for name in sorted(moved)]
    assert not torch.equal(*centers)
    assert state["extra.labeller.weight"] > 0
    assert load_model(result.run.model).bank.provenance["prompt_set"] == "paper"


def test_source_prompts_are_on_the_training_device(tiny, monkeypatch):
    """The device is one without values, so that this needs no GPU; no step is taken."""
    prepared = []

    def on_another_device(*args, **options):
        *args, _ = args
        other = Compute(torch.device("meta"))
        prepared.append(prepare_adaptation(*args, other, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr("ke2nt.adapt.adapt_model.prepare_adaptation", on_another_device)
    monkeypatch.setattr("ke2nt.banks.text_bank.check_tensors", lambda *_: None)  # asks for values
    with pytest.raises(KeyboardInterrupt):
        adapt(tiny("adapt.source_prompts=simple"), quiet=True)
    task = prepared[0].task
    assert next(task.model.parameters()).device.type == "meta"
    for bank in (task.source_bank, task.model.bank):
        assert {bank.embeddings.device.type, bank.raw.device.type} == {"meta"}


def test_flip_tta_applies_to_all_predictions(tiny):
    result = adapt(tiny("select.flip_tta=true"), quiet=True)
    figures = result.run.read("adaptation.json")["figures"]
    assert figures["before"]["flip_tta"] is figures["after"]["flip_tta"] is True
    plain = adapt(tiny(out="plain"), quiet=True)
    assert_equal(weights(plain), weights(result))  # the last epoch is kept
    assert abs(plain.after.report.nll - result.after.report.nll) > 1e-6
    first, second = (r.run.path.joinpath("log.jsonl").read_text() for r in (plain, result))
    first, second = (json.loads(log.splitlines()[-1])["target"] for log in (first, second))
    assert abs(first["information"] - second["information"]) > 1e-6


class Sealed(FaceSample):
    """A sample of which only name and image may be read until `open` is set."""

    open = False

    def __getattribute__(self, name):
        if name in ("label", "distribution", "subject", "attributes") and not Sealed.open:
            raise AssertionError(f"training read {name} of the target")
        return super().__getattribute__(name)


@pytest.mark.parametrize("method", ["dmsrl", "entropy", "statistics"])
def test_training_never_reads_target_labels(tiny, domains, monkeypatch, method):
    read = ImageFolder.read_samples

    def sealed(self, split):
        kind = Sealed if self.root == domains / "target" else FaceSample
        return (kind(s.name, s.source, s.label) for s in read(self, split))

    monkeypatch.setattr(ImageFolder, "read_samples", sealed)
    monkeypatch.setattr(Sealed, "open", False)
    compare, config = driver.compare_models, tiny(f"adapt.method={method}", "optim.epochs=1")
    trained = {}

    def then_open(*arguments):
        trained.update(weights(RunDirectory(config.out)))  # the model is final before any label
        Sealed.open = True
        return compare(*arguments)

    monkeypatch.setattr(driver, "compare_models", then_open)
    result = adapt(config, quiet=True)
    assert result.after is not None
    assert_equal(trained, weights(result))


@pytest.mark.parametrize("method", ["dmsrl", "entropy"])
def test_other_target_labels_give_the_same_weights(tiny, domains, tmp_path, method):
    paths = sorted((domains / "target").rglob("*.png"))
    names = ["neutral", "happiness", "anger"]
    results = []
    for turn in (0, 1):
        lines = [f"{p},{names[(names.index(p.parent.name) + turn) % 3]}" for p in paths]
        sheet = tmp_path / f"{turn}.csv"
        sheet.write_text("\n".join(["path,label", *lines]) + "\n")
        options = [f"adapt.method={method}", "optim.epochs=1", "adapt.choose=information"]
        options += ["target.name=manifest", f"target.root={sheet}"]
        results.append(adapt(tiny(*options, out=f"run{turn}"), quiet=True))
    one, two = results
    assert_equal(weights(one), weights(two))
    assert one.changes == two.changes
    assert one.after.report.nll != two.after.report.nll


@pytest.mark.parametrize(
    ("stop_at", "options"),
    [
        (2, ("adapt.balance=0.5", "adapt.teacher=average", "adapt.batch_norm=joint")),
        (3, ("adapt.method=cdan", "optim.name=adamw", "model.dropout=0.1")),
        (1, ("adapt.method=entropy",)),
    ],
)
def test_stopped_run_resumes_bit_for_bit(tiny, monkeypatch, stop_at, options):
    whole = adapt(tiny(*options, out="whole"), quiet=True).run
    config = tiny(*options, out="stopped")
    steps, real = [0], Engine.train_step

    def step_then_interrupt(self, batch, progress):
        parts = real(self, batch, progress)
        steps[0] += 1
        if steps[0] == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return parts

    monkeypatch.setattr(Engine, "train_step", step_then_interrupt)
    with pytest.raises(TrainingStopped):
        adapt(config, quiet=True)
    run = RunDirectory(config.out)
    assert "stopped" in run.read("run.json")["status"]
    resumed = adapt(run.load_config(AdaptConfig), resume=True, quiet=True).run
    assert_equal(
        *(
            load_file(latest_checkpoint(r.checkpoints) / "state.safetensors")
            for r in (whole, resumed)
        )
    )
    assert_equal(weights(whole), weights(resumed))
    assert whole.read("adaptation.json") == resumed.read("adaptation.json")


def test_changed_target_is_refused_at_resume(tiny, tmp_path):
    draw(tmp_path / "small", 4, shift=0.5, seed=5)
    config = tiny(f"target.root={tmp_path}/small", "optim.epochs=1")
    run = adapt(config, quiet=True).run
    next((tmp_path / "small" / "anger").iterdir()).unlink()
    with pytest.raises(CheckpointError, match="dataset has changed"):
        adapt(run.load_config(AdaptConfig), resume=True, quiet=True)
    with pytest.raises(TrainingError, match="already holds a run"):
        adapt(config, quiet=True)


def test_source_is_trained_first_without_a_start(tiny, monkeypatch):
    monkeypatch.setattr(
        "ke2nt.training.train_recognizer.write_training_report", lambda *a, **k: None
    )
    config = tiny("start=null", "optim.epochs=1", "source_optim={epochs: 2, batch_size: 14}")
    result = adapt(config, quiet=True)
    source = RunDirectory(f"{config.out}/source")
    assert source.load_config().optim.epochs == 2
    assert source.read("metrics.json")["n"] == 18
    assert differ(weights(source), weights(result))


def test_joint_and_separate_normalization_differ(tiny):
    model, results = load_model(tiny().start), []
    for kind in ("joint", "target"):
        config = tiny(f"adapt.batch_norm={kind}", "optim.epochs=1", "optim.ema=null", out=kind)
        results.append(weights(adapt(config, quiet=True)))
    name = next(n for n in results[0] if n.endswith("running_mean"))
    assert batch_norms(model)
    assert not torch.equal(results[0][name], results[1][name])


def test_separate_normalization_keeps_target_statistics(tiny, monkeypatch):
    seen = []
    real = AdaptationTask._forward_domains

    def watch(self, source, target):
        alone = copy.deepcopy(self.model)
        outputs = real(self, source, target)
        with torch.no_grad():
            alone(target)
        for a, b in zip(batch_norms(alone), batch_norms(self.model), strict=True):
            seen.append(torch.allclose(a.running_mean, b.running_mean))
            seen.append(int(a.num_batches_tracked) == int(b.num_batches_tracked))
        return outputs

    monkeypatch.setattr(AdaptationTask, "_forward_domains", watch)
    adapt(tiny("adapt.batch_norm=target", "optim.epochs=1"), quiet=True)
    assert seen
    assert all(seen)


def test_statistics_method_changes_only_batch_statistics(tiny):
    config = tiny("adapt.method=statistics", "data.root=/nowhere")
    result = adapt(config, quiet=True)
    before, after = load_file(f"{config.start}/model/model.safetensors"), weights(result)
    changed = {n.rsplit(".", 1)[1] for n in before if not torch.equal(before[n], after[n])}
    assert changed == {"running_mean", "running_var", "num_batches_tracked"}
    assert result.facts["selection"] == "no choice: one pass over the target"
    assert result.changes.before.domain_distance is None


def test_entropy_needs_no_source_and_trains_only_normalizations(tiny):
    config = tiny("adapt.method=entropy", "data.root=/nowhere", "optim.lr=0.1", "optim.epochs=5")
    result = adapt(config, quiet=True)
    before, after = load_file(f"{config.start}/model/model.safetensors"), weights(result)
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert changed
    model = load_model(config.start)
    norms = {id(t) for m in batch_norms(model) for t in (*m.parameters(), *m.buffers())}
    assert changed <= {n for n, t in model.state_dict(keep_vars=True).items() if id(t) in norms}
    log = [json.loads(x) for x in (result.run.path / "log.jsonl").read_text().splitlines()]
    assert log[-1]["loss"]["entropy"] < log[0]["loss"]["entropy"]


@pytest.mark.parametrize("key", ["augment.mixup=1", "augment.cutmix=1", "data.sampling=sqrt"])
def test_entropy_ignores_settings_that_need_labels(tiny, key):
    config = tiny("adapt.method=entropy", "optim.epochs=1", key)
    plain = tiny("adapt.method=entropy", "optim.epochs=1", out="plain")
    ours, theirs = (weights(adapt(each, quiet=True)) for each in (config, plain))
    assert_equal(ours, theirs)


def test_adaptation_keeps_the_logit_scale_and_does_not_mix_classes(tiny, monkeypatch):
    seen, real = [], AdaptationTask.__post_init__

    def look(self):
        seen.append((self.config.text.logit_scale_start, self.config.augment.mixup))
        real(self)

    monkeypatch.setattr(AdaptationTask, "__post_init__", look)
    for i, method in enumerate(("dmsrl", "dann")):
        changes = "text.logit_scale_start=2", "augment.mixup=0.2", f"adapt.method={method}"
        config = tiny(*changes, "optim.epochs=1", out=str(i))
        assert config.source_run().text.logit_scale_start == 2
        adapt(config, quiet=True)
    assert seen == [(None, 0.0), (None, 0.2)]


def test_models_are_compared_on_the_training_device(tiny, monkeypatch):
    import ke2nt.adapt.compare_models as module

    devices, real = [], module.compute_predictions

    def spied(model, *arguments, device=None, **options):
        devices.append(device)
        monkeypatch.setattr(model, "to", lambda place: devices.append(place), raising=False)
        return real(model, *arguments, device=device, **options)

    monkeypatch.setattr(module, "compute_predictions", spied)
    adapt(tiny("optim.epochs=1"), quiet=True)
    asked, back = devices[:-2], devices[-2:]
    assert asked == [torch.device("cpu")] * 8  # of predict, which moves the model there
    assert back == ["cpu", "cpu"]


def test_collapse_is_detected_and_reported(tiny):
    losses = "adapt.weights={pseudo: 100.0}"
    config = tiny("adapt.method=pseudo", losses, "optim.lr=1.0", "adapt.ramp=0", "optim.ema=null")
    result = adapt(config, quiet=True)
    assert result.changes.after.metrics.collapsed
    assert result.trust.level == "do not use"
    assert "a collapse" in result.trust.reasons[0]
    assert result.facts["after"]["collapsed"] is True


def test_unlabeled_images_give_a_comparison_without_metrics(tiny, domains):
    result = adapt(tiny(f"target.root={domains}/bare", "optim.epochs=1"), quiet=True)
    assert (result.before, result.after) == (None, None)
    assert result.facts["figures"] == {"before": None, "after": None}
    assert result.changes.num_images == 30
    assert any("hundreds are needed" in reason for reason in result.trust.reasons)


def test_very_small_domain_works_and_is_reported(tiny, tmp_path):
    draw(tmp_path / "few", 1, shift=0.5, seed=5)
    (tmp_path / "few" / "anger" / "anger0.png").unlink()
    result = adapt(tiny(f"target.root={tmp_path}/few", "optim.epochs=1"), quiet=True)
    assert result.changes.num_images == 2
    text = " ".join(result.trust.reasons)
    assert "adapted to 2 images" in text
    assert "42 source images, 2 target images" in text


def test_target_without_a_shared_class_is_refused_before_training(tiny, tmp_path):
    draw(tmp_path / "other", 2, shift=0.5, seed=5, classes=("fear", "disgust"))
    config = tiny(f"target.root={tmp_path}/other")
    with pytest.raises(LabelError, match="share no class"):
        adapt(config, quiet=True)
    assert not os.path.exists(config.out)


def test_no_image_of_a_shared_class_keeps_the_model(tiny, tmp_path):
    """The label sets share a class, but no image has it: the model is saved without metrics."""
    draw(tmp_path / "other", 2, shift=0.5, seed=5, classes=("fear",))
    options = "target.options={classes: [neutral, fear]}"
    result = adapt(tiny(f"target.root={tmp_path}/other", options, "optim.epochs=1"), quiet=True)
    assert result.after is None
    assert "dropped from the data: fear" in result.facts["labels"]
    assert result.run.read("run.json")["status"] == "finished"


@pytest.mark.parametrize(
    ("choose", "words"), [("information", "mutual information"), ("source", "source images")]
)
def test_epoch_is_chosen_without_labels_and_the_rule_is_stated(tiny, choose, words):
    result = adapt(tiny(f"adapt.choose={choose}", "optim.epochs=3"), quiet=True)
    log = [json.loads(x) for x in (result.run.path / "log.jsonl").read_text().splitlines()]
    part = {"information": ("target", "information"), "source": ("val", "uar")}[choose]
    values = [record[part[0]][part[1]] for record in log]
    assert result.run.read("run.json")["best_epoch"] == 1 + values.index(max(values))
    assert words in result.facts["selection"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["adapt.teacher=average", "optim.ema=null"], "running average"),
        (["adapt.method=entropy", "adapt.weights={metric: 1}"], "no parts to weight"),
        (["adapt.method=statistics", "adapt.choose=source"], "no source images for adapt"),
        (["adapt.methd=dann"], "did you mean adapt.method"),
        (["adapt.weights={metrc: 1}"], "metrc"),
    ],
)
def test_invalid_configuration_raises_a_clear_error(tiny, overrides, words):
    with pytest.raises(ConfigError, match=words):
        tiny(*overrides)


def test_report_shows_changes_and_trust(tiny, with_report):
    result = adapt(tiny("optim.epochs=1"), quiet=True, command="ke2nt adapt x")
    page = result.run.report.read_text(encoding="utf-8")
    for words in (
        result.trust.sentence(),
        "The predicted class changed for",
        "Without labels",
        "Predictions by class",
        "Against the target&#39;s labels",
        "distance of the domains",
        "The most confident predictions that changed",
        "Kept: last epoch",
        "No label of the target was used",
        "ke2nt adapt x",
    ):
        assert words in page, words
    assert result.run.read("adaptation.json")["figures"]["after"]["n"] == 30
    card = (result.run.model / "README.md").read_text(encoding="utf-8")
    assert "**Adapted** to 30 images of folder all with the method dmsrl, without" in card
    assert "Metrics: folder all" in card


def test_source_prompts_apply_to_attention_heads(tiny, domains, tmp_path):
    """The source's logits are taken anew with the source's words, at every stage; the same words
    for both domains change nothing."""
    start = tmp_path / "deep"
    deep = ("model.attention=true", "optim.epochs=1")
    first = tiny(*deep).source_run()
    train(first.model_copy(update={"out": str(start)}), quiet=True)
    logs = {}
    for name, words in {"own": "simple", "other": "facs"}.items():
        changes = (f"start={start}", "text.prompts=simple", f"adapt.source_prompts={words}")
        config = tiny(*deep, *changes, out=name)
        run = adapt(config, quiet=True).run
        logs[name] = json.loads((run.path / "log.jsonl").read_text().splitlines()[0])["loss"]
    model = load_model(start)
    model.set_bank(TextBank.build("simple", classes=model.classes))
    model.save_pretrained(tmp_path / "simple")
    plain = adapt(tiny(*deep, f"start={tmp_path / 'simple'}", out="plain"), quiet=True)
    record = json.loads((plain.run.path / "log.jsonl").read_text().splitlines()[0])["loss"]
    assert logs["own"] == pytest.approx(record, rel=1e-4)
    stages = [name for name in record if name.startswith("stage_")]
    assert len(stages) >= 2
    for name in stages:
        assert logs["other"][name] != pytest.approx(record[name], rel=1e-3)


@pytest.mark.parametrize("method", ["dmsrl", "entropy"])
def test_forward_pass_is_compiled_on_request(tiny, compile_calls, method):
    method = f"adapt.method={method}"
    compiled = adapt(tiny(method, "optim.epochs=1", "compile=true", out="one"), quiet=True)
    assert compile_calls[0] == "default"
    assert set(compile_calls[1:]) == {14}
    plain = adapt(tiny(method, "optim.epochs=1", out="two"), quiet=True)
    ours, theirs = weights(compiled), weights(plain)  # other convolutions: equal to rounding
    assert all(ours[name].float().allclose(theirs[name].float(), atol=1e-4) for name in theirs)


@pytest.mark.parametrize("method", ["dmsrl", "entropy"])
def test_two_processes_equal_one(tiny, tmp_path, monkeypatch, method):
    """Without dropout, as each process draws its own; the discriminator has some by default."""
    monkeypatch.setattr(DomainDiscriminator.__init__, "__defaults__", (512, 0.0))
    before = "from ke2nt.adapt.adversarial import DomainDiscriminator\n"
    before += "DomainDiscriminator.__init__.__defaults__ = (512, 0.0)"
    changes = (f"adapt.method={method}", "model.dropout=0", "adapt.teacher=average")
    path = tmp_path / "two.yaml"
    path.write_text(config_to_yaml(tiny(*changes, out="two")), encoding="utf-8")
    for process in run_ke2nt_twice("adapt", path, "--quiet", before=before):
        assert process.returncode == 0, process.stderr
    adapt(tiny(*changes, out="one"), quiet=True)
    shared, single = (
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("two", "one")
    )
    assert len(shared) == 2
    for ours, theirs in zip(shared, single, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3, abs=1e-6)
        assert ours["target"] == pytest.approx(theirs["target"], rel=1e-2)
