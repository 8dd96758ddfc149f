"""Keys that a command would ignore are refused; each command takes its own configurations."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ke2nt.adapt.methods import METHODS
from ke2nt.config.adapt import AdaptConfig
from ke2nt.config.gan import FesganConfig
from ke2nt.config.key_rules import _METHOD_PARTS, RULES
from ke2nt.config.load import config_to_yaml, load_config
from ke2nt.config.problems import find_section, list_keys
from ke2nt.config.schema import TrainConfig
from ke2nt.config.shipped import list_shipped
from ke2nt.config.unused_keys import check_override_keys, find_unused_keys
from ke2nt.errors import ConfigError
from ke2nt.resources import list_resources

ROOT = Path(__file__).resolve().parents[2]
KINDS = {
    "train": TrainConfig,
    "bench train": TrainConfig,
    "adapt": AdaptConfig,
    "gan pretrain": FesganConfig,
    "gan train": FesganConfig,
}

# What is not used, by command and settings; a section stands for all of its keys.
# Found by recording which keys are read while each command runs.
STEPS = ("optim.step_epochs", "optim.step_factor")
TURNED_OFF = [
    *("optim.momentum", "optim.nesterov", "text.logit_scale_epochs", "loss.text_temperature"),
    *("data.val_fraction", "augment.crop_padding", "model.lora", *STEPS),
    *("text.fetch", "loss.similarity_bias", "text.learn_logit_bias"),
]
EXPECTED = [
    ("train", "ferplus_resnet18", [], TURNED_OFF),
    (
        "train",
        "ferplus_resnet18",
        ["model.head=linear", "optim={name: sgd, warmup_epochs: 0}", "data.val_split=null"],
        [
            *("text", "model.reduction", "model.projection"),
            *("optim.betas", "optim.warmup", "optim.warmup_lr"),
            *("loss.transformation", "loss.self_contrast", "loss.pairing"),
            *(
                "loss.text_smoothing",
                "loss.text_temperature",
                "loss.similarity_bias",
                "text.learn_logit_bias",
                "augment.crop_padding",
                "model.lora",
                *STEPS,
            ),
        ],
    ),
    (
        "train",
        "ferplus_resnet18",
        ["text.bank=b", "loss={text_smoothing: 0.1, self_contrast: 0}", "augment.crop=0"],
        [
            *("text.encoder", "text.prompts", "text.cache_dir", "text.fetch", "loss.pairing"),
            *("loss.similarity_bias", "text.learn_logit_bias"),
            *("augment.crop_padding", "model.lora", "optim.momentum", "optim.nesterov"),
            *("text.logit_scale_epochs", "data.val_fraction", *STEPS),
        ],
    ),
    (
        "bench train",
        "ferplus_resnet18",
        [],
        [
            *("data!data.workers", "select", "pretrain", "out", "keep_checkpoints"),
            *("checkpoint_every", "optim.epochs", "loss.distillation", *TURNED_OFF),
        ],
    ),
    (
        "gan pretrain",
        "fesgan_ferplus",
        ["gan.identity_space=code"],
        [
            *("start", "augment", "text", "loss", "pretrain", "optim", "joint", "compile"),
            *("model!model.image_size,model.gray", "select!select.on", "data.extra"),
            *("data.soft_labels", "gan.loss.penalty", "gan.identity_stage"),
            "gan.critic_augment.erase_area",
        ],
    ),
    (
        "gan train",
        "fesgan_ferplus",
        ["joint={generator: g, frozen: true, intra_class: 0}", "gan.identity_space=code"],
        [
            *("gan.image_size", "gan.flip", "gan.min_images", "gan.loss.expression_start"),
            *("gan.sampling", "gan.critic_augment.erase_area"),
            *("gan.network.code_dim", "gan.network.width", "gan.network.conditioning"),
            "gan.optim!gan.optim.betas,gan.optim.ema",
            *("joint.lr", "joint.gan_weight", "joint.every", "joint.rdbp"),
            *("gan.loss.penalty", "gan.identity_stage", "loss.distillation", *TURNED_OFF),
        ],
    ),
    (
        "adapt",
        "adapt",
        ["start=m"],
        [
            *("data!data.memory", "loss", "text", "pretrain", "source_optim", "select.rule"),
            "model!model.attention.supervision,model.attention.supervise",
            "adapt!adapt.method,adapt.weights,adapt.choose",
            *("select.metric", "select.on", "optim.betas", "optim.warmup", "optim.warmup_lr"),
            *(*STEPS, "augment.crop_padding", "model.lora", "augment.erase_area"),
        ],
    ),
    (
        "adapt",
        "adapt",
        ["start=m", "adapt.method=statistics"],
        [
            *("data", "augment", "text", "model", "loss", "pretrain", "optim", "source_optim"),
            *("select!select.flip_tta", "adapt!adapt.method", "compile", "cuda_graphs"),
            *("keep_checkpoints", "checkpoint_every"),
        ],
    ),
    (
        "adapt",
        "dmsrl_drawn_to_ferplus",
        ["start=m", "adapt.method=dann", "adapt.source_prompts=facs"],
        [
            "model!model.attention.supervision,model.attention.supervise",
            *("pretrain", "source_optim", "text.logit_scale", "text.learn_logit_scale"),
            *("text.logit_scale_start", "text.logit_scale_epochs", "select.rule"),
            *("adapt.margin", "adapt.domain_weight", "adapt.centers", "adapt.center_lr"),
            *("adapt.threshold", "adapt.balance", "adapt.teacher", "optim.momentum"),
            *("adapt.train_source", "adapt.share_power", *STEPS),
            *("optim.nesterov", "loss.text_temperature", "loss.distillation"),
            *("text.fetch", "loss.similarity_bias", "text.learn_logit_bias"),
            *("data.val_fraction", "augment.crop_padding", "model.lora", "augment.erase_area"),
        ],
    ),
    (
        "adapt",
        "dmsrl_drawn_to_ferplus",
        ["adapt.method=coral", "adapt.weights={pseudo: 1}", "adapt.train_source=false"],
        [
            *("adapt.reversal_steps", "source_optim", "loss.distillation"),
            *("adapt.margin", "adapt.domain_weight", "adapt.centers", "adapt.center_lr"),
            *(*TURNED_OFF, "augment.erase_area", "adapt.share_power"),
        ],
    ),
]


def leaf_keys(kind, prefix=""):
    for name, field in kind.model_fields.items():
        section = find_section(field.annotation)
        if section is None:
            yield prefix + name
        else:
            yield from leaf_keys(section, f"{prefix}{name}.")


def is_in(key, section):
    return key == section or key.startswith(f"{section}.")


def expand(entries, kind):
    """Every key that the entries stand for; `a!a.b,a.c` is section a without two keys."""
    found = set()
    for entry in entries:
        section, _, but = entry.partition("!")
        exceptions = but.split(",") if but else []
        for key in leaf_keys(kind):
            if is_in(key, section) and not any(is_in(key, each) for each in exceptions):
                found.add(key)
    return found


@pytest.mark.parametrize(("command", "name", "overrides", "expected"), EXPECTED)
def test_every_key_is_used_or_refused(command, name, overrides, expected):
    kind = KINDS[command]
    config = load_config(name, overrides, kind)
    unused = expand(expected, kind)
    found = find_unused_keys(command, config).keys() & set(leaf_keys(kind))
    assert sorted(found) == sorted(unused)

    # as overrides: every key that is not used is named, and the others are accepted
    used = set(leaf_keys(kind)) - unused
    check_override_keys(command, config, [f"{key}=1" for key in used])
    with pytest.raises(ConfigError) as caught:
        check_override_keys(command, config, [f"{key}=1" for key in unused])
    named = re.findall(r"[\w.]+(?=[,:] )", str(caught.value).partition("Leave")[0])
    assert unused <= set(named)


def test_every_command_has_rules_and_a_case():
    assert RULES.keys() == KINDS.keys() == {command for command, *_ in EXPECTED}
    for rules in RULES.values():
        for rule in rules:
            known = set(list_keys(AdaptConfig)) | set(list_keys(FesganConfig))
            assert {*rule.keys, *rule.but} <= known


def test_parts_of_methods_are_those_of_the_adaptation():
    for method, parts in METHODS.items():
        assert set(_METHOD_PARTS.get(method, (method,))) == set(parts)


@pytest.mark.parametrize(
    ("command", "name", "override", "nearest"),
    [
        ("gan pretrain", "fesgan_drawn", "optim.epochs=2", "gan.optim.epochs"),
        ("gan pretrain", "fesgan_drawn", "augment.flip=0", "gan.flip"),
        ("adapt", "adapt", "source_optim={lr: 0.1}", "optim.lr"),
        ("adapt", "adapt", "data.root=DIR", "target.root"),
    ],
)
def test_nearest_key_that_works_is_named(command, name, override, nearest):
    overrides = ["start=m", override] if command == "adapt" else [override]
    with pytest.raises(ConfigError, match=rf"did you mean {re.escape(nearest)}\?"):
        load_config(name, overrides, KINDS[command], command=command)


def test_keys_of_a_file_are_refused_too(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("optim: {name: adamw, momentum: 0.5}\n")
    with pytest.raises(ConfigError, match=r"would not use optim\.momentum: .*\(in .*c\.yaml\)"):
        load_config(path, command="train")
    assert load_config(path, ["optim.name=sgd"], command="train").optim.momentum == 0.5

    # what an override turns off stays allowed
    path.write_text("text: {prompts: facs}\n")
    assert load_config(path, ["model.head=linear"], command="train").model.head == "linear"
    path.write_text("text: {prompts: facs}\nmodel: {head: linear}\n")
    with pytest.raises(ConfigError, match=r"would not use text\.prompts: model\.head=linear"):
        load_config(path, command="train")


def test_null_leaves_out_what_is_not_used():
    overrides = ["pretrain=null", "data.extra=null", "model.attention=false"]
    load_config("fesgan_drawn", overrides, FesganConfig, command="gan pretrain")


def test_configuration_of_a_run_can_be_used_again(tmp_path):
    run = load_config("ferplus_resnet18", ["model.head=linear", "augment.crop_padding=8"])
    path = tmp_path / "config.yaml"
    path.write_text(config_to_yaml(run))
    assert load_config(path, command="train") == run


def test_every_shipped_configuration_uses_its_keys():
    listed = {command: list_shipped(command) for command in KINDS if command != "bench train"}
    assert listed["gan pretrain"] == listed["gan train"]
    names = [*listed["train"], *listed["gan train"], *listed["adapt"]]
    assert sorted(names) == sorted(list_resources("configs"))
    for command, shipped in listed.items():
        for name in shipped:
            load_config(name, [], KINDS[command], command=command)


@pytest.mark.parametrize(
    ("command", "name", "typed"),
    [
        ("train", "fesgan_drawn", "Type: ke2nt gan pretrain fesgan_drawn or ke2nt gan train"),
        ("train", "adapt", "Type: ke2nt adapt adapt"),
        ("adapt", "fesgan_drawn", "Type: ke2nt gan pretrain fesgan_drawn"),
        ("gan train", "configs/adapt.yaml", "Type: ke2nt adapt configs/adapt.yaml"),
    ],
)
def test_configurations_of_other_commands_are_refused(command, name, typed):
    with pytest.raises(ConfigError, match=f"is not for `ke2nt {command}`") as caught:
        load_config(name, [], KINDS[command], command=command)
    assert typed in str(caught.value)


@pytest.mark.parametrize("command", ["train", "adapt", "gan train"])
def test_unknown_name_lists_what_the_command_takes(command):
    with pytest.raises(ConfigError) as caught:
        load_config("nowhere", [], KINDS[command], command=command)
    names = re.search(r"one of (.*)", str(caught.value))[1].rstrip(".").split(", ")
    assert names == list_shipped(command)


def test_commands_of_the_documentation_use_their_keys():
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("configs/*.yaml")]
    checked = 0
    for page in pages:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"ke2nt ((?:train|adapt|gan pretrain|gan train) [^\n`·]*)", text):
            command = next(each for each in ("gan pretrain", "gan train", "train", "adapt") if line.startswith(each))  # fmt: skip  # noqa: E501
            words = shlex.split(line.removeprefix(command), comments=True)
            overrides = [word for word in words if re.match(r"[a-z_]+(\.[a-z_]+)*=", word)]
            if words and words[0] in list_resources("configs") and overrides:
                checked += 1
                load_config(words[0], overrides, KINDS[command], command=command)
    assert checked > 10
