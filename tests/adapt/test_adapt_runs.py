"""Adaptations end to end: every method, what it trains, processes and compilation."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from adapted_weights import assert_same_weights, load_weights, weights_differ
from command_line import run_ke2nt_twice
from safetensors.torch import load_file

from ke2nt.adapt.adapt_model import adapt
from ke2nt.adapt.adaptation_task import AdaptationTask
from ke2nt.adapt.adversarial import DomainDiscriminator
from ke2nt.adapt.methods import METHODS
from ke2nt.adapt.objective import AdaptationLoss
from ke2nt.adapt.setup import prepare_adaptation
from ke2nt.banks.text_bank import TextBank
from ke2nt.config.load import config_to_yaml
from ke2nt.models.batch_norms import batch_norms
from ke2nt.models.load import load_model
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.compute import Compute
from ke2nt.training.train_recognizer import train


@pytest.mark.parametrize("method", [name for name in METHODS if name != "shares"])
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
    assert weights_differ(
        load_weights(result), load_file(f"{config.start}/model/model.safetensors")
    )


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


def test_joint_and_separate_normalization_differ(tiny):
    model, results = load_model(tiny().start), []
    for kind in ("joint", "target", "separate"):
        config = tiny(f"adapt.batch_norm={kind}", "optim.epochs=1", "optim.ema=null", out=kind)
        results.append(load_weights(adapt(config, quiet=True)))
    name = next(n for n in results[0] if n.endswith("running_mean"))
    assert batch_norms(model)
    assert not torch.equal(results[0][name], results[1][name])
    assert not torch.equal(results[1][name], results[2][name])


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
    before, after = load_file(f"{config.start}/model/model.safetensors"), load_weights(result)
    changed = {n.rsplit(".", 1)[1] for n in before if not torch.equal(before[n], after[n])}
    assert changed == {"running_mean", "running_var", "num_batches_tracked"}
    assert result.facts["selection"] == "no choice: one pass over the target"
    assert result.changes.before.domain_distance is None


def test_entropy_needs_no_source_and_trains_only_normalizations(tiny):
    config = tiny("adapt.method=entropy", "data.root=/nowhere", "optim.lr=0.1", "optim.epochs=5")
    result = adapt(config, quiet=True)
    before, after = load_file(f"{config.start}/model/model.safetensors"), load_weights(result)
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
    ours, theirs = (load_weights(adapt(each, quiet=True)) for each in (config, plain))
    assert_same_weights(ours, theirs)


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


@pytest.mark.parametrize("method", ["dmsrl", "entropy"])
def test_forward_pass_is_compiled_on_request(tiny, compile_calls, method):
    method = f"adapt.method={method}"
    compiled = adapt(tiny(method, "optim.epochs=1", "compile=true", out="one"), quiet=True)
    assert compile_calls[0] == "default"
    assert set(compile_calls[1:]) == {14}
    plain = adapt(tiny(method, "optim.epochs=1", out="two"), quiet=True)
    ours, theirs = (
        load_weights(compiled),
        load_weights(plain),
    )  # other convolutions: equal to rounding
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


def test_one_training_from_the_initial_weights(tiny, monkeypatch):
    """As DMSRL was published: no model is trained on the source first."""
    reversals = []
    real = AdaptationLoss.forward

    def watch(self, batch, strength, reversal=None):
        reversals.append(reversal)
        return real(self, batch, strength, reversal)

    monkeypatch.setattr(AdaptationLoss, "forward", watch)
    changes = ("start=null", "adapt.train_source=false", "adapt.reversal_steps=2")
    config = tiny(*changes, "optim.epochs=1", "adapt.batch_norm=separate")
    result = adapt(config, quiet=True)
    folders = result.run.path / "source", result.run.path
    before, after = (load_file(folder / "model/model.safetensors") for folder in folders)
    assert not (result.run.path / "source" / "log.jsonl").exists()
    assert weights_differ(before, after)
    steps = range(1, len(reversals) + 1)
    assert reversals == pytest.approx([math.tanh(5 * step / 2) for step in steps])
