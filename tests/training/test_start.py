"""Runs that start from a saved model: what is taken over, what must agree, what is recorded."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.model_folder import update_folder
from ke2nt.config.load import override_config
from ke2nt.errors import CheckpointError, ConfigError
from ke2nt.models.build import build_model
from ke2nt.models.load import load_model
from ke2nt.training.initial_model import build_initial_model
from ke2nt.training.starting_model import read_starting_model
from ke2nt.training.train_recognizer import train

CLASSES = ("neutral", "happiness", "anger")
TEXT_SIDE = ("projection.", "transformation.")
# a fraction of an epoch at a rate of nothing: the weights stay those of the start
STILL = ("optim.epochs=1", "optim.lr=1e-12", "optim.warmup_lr=0", "optim.weight_decay=0")


def save(folder, **changes):
    """Save an untrained model with settings that no configuration has by default."""
    torch.manual_seed(5)
    options = {"backbone": "test_resnet", "image_size": 24, "reduction": 2, "logit_scale": 7.0}
    bank = TextBank.build("simple", classes=["anger", "happiness", "neutral", "sadness"])
    if changes.get("head") == "linear":
        bank = None
        options = {"backbone": "test_resnet", "image_size": 24, "classes": CLASSES}
    model = build_model(**{"bank": bank, **options, **changes})
    model.preprocessing = replace(
        model.preprocessing, mean=(0.1, 0.2, 0.3), interpolation="bilinear", gray=True
    )
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def start(tmp_path):
    return save(tmp_path / "start")


@pytest.fixture
def from_start(tiny):
    """Make a configuration that sets nothing of the model, as a run with `start` does."""

    def make(folder, *overrides, out="run"):
        config = tiny(*overrides, f"start={folder}", out=out)
        model = {o.split("=")[0][6:] for o in overrides if o.startswith("model.")}
        text = {o.split("=")[0][5:] for o in overrides if o.startswith("text.")}
        values = config.model_dump(mode="json", exclude_unset=True)
        for section, names in (("model", model), ("text", text)):
            values[section] = {k: v for k, v in values[section].items() if k in names}
        return type(config).model_validate(values)

    return make


def initial(config, classes=CLASSES):
    """Build the model that a run starts with, as `train` does."""
    found = read_starting_model(config)
    config = found.resolve_text(found.resolve_model(config), classes)
    return build_initial_model(config, classes, found.saved.preprocessing), config


def test_whole_model_is_taken_over_where_text_agrees(start, from_start):
    saved = load_model(start)
    model, config = initial(from_start(start))
    assert {n for n, v in saved.state_dict().items() if torch.equal(v, model.state_dict()[n])} == (
        model.state_dict().keys()
    )
    assert model.preprocessing == saved.preprocessing
    assert (model.logit_scale, config.model.reduction, config.text.bank) == (7.0, 2, "start")
    # words of the model, in the order of the data
    assert model.classes == CLASSES
    assert torch.equal(model.bank.embeddings, saved.bank.select(CLASSES).embeddings)


def test_new_classes_keep_the_image_side_and_the_text_encoder(start, from_start, monkeypatch):
    asked = []
    bank = load_model(start).bank

    def build(prompts, encoder, classes, cache_dir):
        asked.append((prompts.name, encoder, prompts.render(classes[-1])))
        return replace(bank.select(["anger", "sadness"]), classes=tuple(classes))

    monkeypatch.setattr("ke2nt.training.initial_model.TextBank.build", build)
    model, config = initial(from_start(start), ("anger", "in_pain"))
    assert asked == [("simple", "minilm", ("a photo of an in pain face.",))]
    saved = load_model(start).state_dict()
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())
    assert (model.logit_scale, config.text.bank) == (7.0, None)


def test_another_text_encoder_takes_only_the_image_encoder(start, from_start, tmp_path):
    generator = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(3, 384, generator=generator), dim=1)
    bank = TextBank.from_tensors(rows, classes=CLASSES, neutral_index=0, logit_scale=10.0)
    bank.save(tmp_path / "bank")
    model, _ = initial(from_start(start, f"text.bank={tmp_path / 'bank'}"))
    saved = load_model(start).state_dict()
    same = {n for n, v in model.state_dict().items() if torch.equal(saved[n], v)}
    assert same >= {name for name in saved if name.startswith("backbone.")}
    assert not {name for name in same if name.startswith(TEXT_SIDE) and "weight" in name}
    assert model.provenance["initial_weights"]["summary"] == "image encoder"


def test_linear_heads(tmp_path, start, from_start):
    linear = save(tmp_path / "linear", head="linear")
    model, config = initial(from_start(linear))
    assert config.model.head == "linear"
    saved = load_model(linear).state_dict()
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())

    # its objective is cross-entropy alone
    assert train(from_start(linear, *STILL), quiet=True).progress.records[0]["loss"].keys() == {
        "total",
        "similarity",
    }

    # other classes: a new head on the same encoder; a text model gives its encoder, too
    other, _ = initial(from_start(linear), ("anger", "fear"))
    assert other.classifier.weight.shape[0] == 2
    baseline, _ = initial(from_start(start, "model.head=linear"))
    for model, folder in ((other, linear), (baseline, start)):
        assert model.provenance["initial_weights"]["summary"] == "image encoder"
        saved = load_model(folder).state_dict()
        encoder = {n: v for n, v in model.state_dict().items() if n.startswith("backbone.")}
        assert all(torch.equal(saved[name], value) for name, value in encoder.items())


def test_attention_heads_and_learned_scale_are_taken_over(tmp_path, from_start):
    folder = save(tmp_path / "deep", attention={"stages": 2, "kernel": 3}, learn_logit_scale=True)
    model, config = initial(from_start(folder))
    assert (config.model.attention.stages, config.model.attention.kernel) == (2, 3)
    assert config.text.learn_logit_scale
    saved = load_model(folder).state_dict()
    assert saved.keys() == model.state_dict().keys()
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.image_size=32", r"model\.image_size differs.*expected 24.*found 32"),
        ("model.backbone=resnet18", r"model\.backbone differs.*test_resnet"),
        ("model.gray=false", r"model\.gray differs.*expected True"),
        ("model.reduction=4", r"model\.reduction differs.*expected 2"),
        ("model.attention=true", r"model\.attention differs.*expected None"),
        ("model.weights=timm", r"start and model\.weights both name"),
    ],
)
def test_conflicts_with_settings_are_refused(start, from_start, override, message):
    with pytest.raises(ConfigError, match=message):
        train(from_start(start, override), quiet=True)


def test_equal_settings_and_other_dropout_are_no_conflict(start, from_start):
    config = from_start(start, "model.image_size=24", "model.dropout=0.3", "text.logit_scale=9")
    model, _ = initial(config)
    assert model.architecture["dropout"] == 0.3
    assert model.logit_scale == 9


def test_overrides_of_a_configuration_leave_open_what_nobody_set(start, from_start):
    config = override_config(from_start(start), ["optim.epochs=2"])
    assert initial(config)[1].model.image_size == 24


def test_no_such_model_is_reported_before_the_data_is_read(from_start):
    with pytest.raises(CheckpointError, match="no saved model"):
        train(from_start("nowhere", "data.root=also_nowhere"), quiet=True)
    with pytest.raises(ConfigError, match=r"text\.bank=start needs a model"):
        override_config(from_start("x"), ["start=null", "text.bank=start"])


def test_run_starts_there_records_it_and_resumes_only_with_the_same(start, from_start, tmp_path):
    facts = {"name": "ferplus", "options": {}, "samples": {}}
    first = {"first_weights": ["faces.pth"]}
    update_folder(
        start, card={"data": facts, "config": {"data": {"train_split": "train"}}, **first}
    )
    run = train(from_start(start, *STILL, "keep=false"), quiet=True).run
    kept, saved = load_model(run.path), load_model(start)
    assert torch.allclose(
        kept.state_dict()["projection.weight"], saved.state_dict()["projection.weight"], atol=1e-6
    )

    # in the run, in the model, and on its card with the license of the first data
    facts = run.read("start.json")
    assert (facts["model"], facts["data"]) == ("start", ["ferplus"])
    assert run.read("run.json")["started_from"] == facts == kept.card["started_from"]
    assert kept.provenance["initial_weights"]["sha256"] == facts["sha256"]
    card = (run.model / "README.md").read_text()
    assert f"**Started from** start (SHA-256 of its weights: {facts['sha256']})" in card
    assert "**Training images of that model**: FER+, split train" in card
    assert "license: other" in card
    assert "**First weights**: faces.pth" in card

    # a model that was started from this one names both datasets
    again = read_starting_model(from_start(run.path))
    assert again.facts()["data"] == ["ferplus", "folder"]

    # the state of a run that was stopped needs the same model
    stopped = tmp_path / "stopped"
    shutil.copytree(run.path, stopped)
    (stopped / "run.json").write_text(json.dumps({"status": "stopped"}))
    config = run.load_config().model_copy(update={"out": str(stopped)})
    train(config, resume=True, quiet=True)
    (stopped / "run.json").write_text(json.dumps({"status": "stopped"}))
    saved.load_state_dict({name: value + 1 for name, value in saved.state_dict().items()})
    saved.save_pretrained(start)
    with pytest.raises(CheckpointError, match="model to start from has changed"):
        train(config, resume=True, quiet=True)
