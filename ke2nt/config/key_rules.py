"""Which keys of a configuration each command does not use, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["RULES", "KeyRule"]


@dataclass(frozen=True)
class KeyRule:
    """Keys that a command does not use.

    Attributes:
        reason: Why, as the end of a sentence.
        keys: The keys; a section stands for all of its keys.
        applies: Whether the rule applies to a configuration.
        but: Keys in these sections that are used all the same.
    """

    reason: str
    keys: tuple[str, ...]
    applies: Callable[[Any], bool] = lambda config: True
    but: tuple[str, ...] = ()


def _any_part(config: Any, names: Iterable[str]) -> bool:
    """Whether an adaptation has one of some parts, or one of another package."""
    method = config.adapt.method
    parts = {*_METHOD_PARTS.get(method, (method,))}
    parts |= {name for name, weight in config.adapt.weights.items() if weight}
    parts -= {name for name, weight in config.adapt.weights.items() if not weight}
    return any(part in names or "." in part for part in parts)


_METHOD_PARTS: Mapping[str, Sequence[str]] = {
    "source": (),
    "dann": ("adversarial",),
    "cdan": ("conditional",),
    "dmsrl": ("metric", "adversarial"),
    "shares": (),
    "statistics": (),
    "entropy": (),
}
_PSEUDO_LABELED = ("metric", "pseudo", "text")

# What has no effect because another key turns it off.
_OPTIMIZER = [
    KeyRule(
        "momentum belongs to optim.name=sgd",
        ("optim.momentum", "optim.nesterov"),
        lambda c: c.optim.name != "sgd",
    ),
    KeyRule("betas belong to optim.name=adamw", ("optim.betas",), lambda c: c.optim.name == "sgd"),
    KeyRule(
        "there is no warm-up with optim.warmup_epochs=0",
        ("optim.warmup", "optim.warmup_lr"),
        lambda c: c.optim.warmup_epochs == 0,
    ),
    KeyRule(
        "steps belong to optim.schedule=steps",
        ("optim.step_epochs", "optim.step_factor"),
        lambda c: c.optim.schedule == "cosine",
    ),
    KeyRule(
        "optim.schedule=steps has no smallest rate",
        ("optim.min_lr",),
        lambda c: c.optim.schedule == "steps",
    ),
]
_AUGMENTATION = [
    KeyRule(
        "nothing is cropped with augment.crop=0",
        ("augment.crop_padding",),
        lambda c: c.augment.crop == 0,
    ),
    KeyRule(
        "nothing is erased with augment.erase=0",
        ("augment.erase_area",),
        lambda c: c.augment.erase == 0,
    ),
]
_RECOGNIZER = [
    KeyRule(
        "model.head=linear has no text",
        (
            "text",
            "model.projection",
            "model.reduction",
            "loss.transformation",
            "loss.self_contrast",
            "loss.pairing",
            "loss.text_smoothing",
            "loss.text_temperature",
        ),
        lambda c: c.model.head == "linear",
    ),
    KeyRule(
        "only model.tune=lora has low-rank changes",
        ("model.lora",),
        lambda c: c.model.tune != "lora",
    ),
    KeyRule(
        "text.bank has its own encoder and prompts",
        ("text.encoder", "text.prompts", "text.cache_dir", "text.fetch"),
        lambda c: c.text.bank is not None,
    ),
    KeyRule(
        "text.fetch belongs to text.encoder=auto",
        ("text.fetch",),
        lambda c: c.text.encoder != "auto",
    ),
    KeyRule(
        "the scale does not rise without text.logit_scale_start",
        ("text.logit_scale_epochs",),
        lambda c: c.text.logit_scale_start is None,
    ),
    KeyRule(
        "loss.self_contrast=0 turns that loss off",
        ("loss.pairing",),
        lambda c: c.loss.self_contrast == 0,
    ),
    KeyRule(
        "loss.similarity_form=softmax has no bias",
        ("loss.similarity_bias", "text.learn_logit_bias"),
        lambda c: c.loss.similarity_form == "softmax",
    ),
    KeyRule(
        "loss.text_smoothing=0 smooths nothing",
        ("loss.text_temperature",),
        lambda c: c.loss.text_smoothing == 0,
    ),
    KeyRule(
        "the validation images are a split of their own",
        ("data.val_fraction",),
        lambda c: c.data.val_split not in (None, "auto") or c.select.on == "test",
    ),
]
_TRAINING = [*_RECOGNIZER, *_OPTIMIZER, *_AUGMENTATION]

_NO_TEACHER = KeyRule("only `ke2nt train` learns from a teacher", ("loss.distillation",))
_BENCH = [
    _NO_TEACHER,
    KeyRule(
        "it measures steps on random images",
        (
            *("data", "select", "pretrain"),
            *("out", "keep_checkpoints", "checkpoint_every", "optim.epochs"),
        ),
        but=("data.workers",),
    ),
    *_TRAINING,
]

# Both stages of a GAN.
_GAN_SWITCHES = [
    KeyRule(
        "gan.loss.adversary=hinge has no penalty",
        ("gan.loss.penalty",),
        lambda c: c.gan.loss.adversary == "hinge",
    ),
    KeyRule(
        "nothing is erased with gan.critic_augment.erase=0",
        ("gan.critic_augment.erase_area",),
        lambda c: c.gan.critic_augment.erase == 0,
    ),
    KeyRule(
        "gan.identity_space=code and faces have no stages",
        ("gan.identity_stage",),
        lambda c: c.gan.identity_space in ("code", "faces"),
    ),
]
_GAN_PRETRAIN = [
    KeyRule(
        "it trains the generator, and these keys are of the recognizer",
        (
            *("augment", "text", "model", "loss", "pretrain", "optim", "select", "joint"),
            *("start", "compile", "data.extra", "data.soft_labels"),
        ),
        but=("model.image_size", "model.gray", "select.on"),
    ),
    *_GAN_SWITCHES,
]
_STAGE_1 = (
    *("gan.image_size", "gan.flip", "gan.sampling", "gan.min_images", "gan.loss.expression_start"),
    *("gan.network.code_dim", "gan.network.width", "gan.network.conditioning"),
    *("gan.optim.lr", "gan.optim.critic_lr", "gan.optim.critic_steps", "gan.optim.decay_from"),
    *("gan.optim.batch_size", "gan.optim.epochs", "gan.optim.not_finite"),
)
_GAN_TRAIN = [
    KeyRule(
        "joint.generator is already trained",
        _STAGE_1,
        lambda c: c.joint.generator is not None,
    ),
    KeyRule(
        "joint.frozen keeps the generator unchanged",
        ("joint.lr", "joint.gan_weight", "joint.every"),
        lambda c: c.joint.frozen,
    ),
    KeyRule(
        "joint.intra_class=0 turns that loss off",
        ("joint.rdbp",),
        lambda c: c.joint.intra_class == 0,
    ),
    *_GAN_SWITCHES,
    _NO_TEACHER,
    *_TRAINING,
]

# With `start` the source model is not trained, and without source images even less is.
_ADAPT = [
    _NO_TEACHER,
    KeyRule(
        "adapt.method=statistics makes one pass without training",
        (
            *("data", "augment", "text", "model", "loss", "pretrain", "optim", "source_optim"),
            *("select", "adapt", "compile", "cuda_graphs", "keep_checkpoints", "checkpoint_every"),
        ),
        lambda c: c.start is not None and c.adapt.method == "statistics",
        but=("adapt.method", "select.flip_tta"),
    ),
    KeyRule(
        "adapt.method=shares does not train",
        (
            *("augment", "loss", "optim", "adapt", "compile", "cuda_graphs"),
            *("keep_checkpoints", "checkpoint_every", "select"),
        ),
        lambda c: c.start is not None and c.adapt.method == "shares",
        but=(
            *("adapt.method", "adapt.shares", "adapt.share_power"),
            *("select.flip_tta", "select.on"),
        ),
    ),
    KeyRule(
        "adapt.method=entropy has no labeled images",
        ("data", "loss", "select.metric", "select.on"),
        lambda c: c.start is not None and c.adapt.method == "entropy",
        but=("data.memory",),
    ),
    KeyRule(
        "`start` names a model that is already trained",
        ("model", "pretrain", "source_optim", "text"),
        lambda c: c.start is not None and c.adapt.source_prompts is None,
        but=("model.attention.supervision", "model.attention.supervise"),
    ),
    KeyRule(
        "`start` names a model that is already trained",
        (
            *("model", "pretrain", "source_optim", "text.logit_scale", "text.learn_logit_scale"),
            *("text.learn_logit_bias", "text.logit_scale_start", "text.logit_scale_epochs"),
        ),
        lambda c: c.start is not None,
        but=("model.attention.supervision", "model.attention.supervise"),
    ),
    KeyRule(
        "`start` names a model that is already trained",
        ("adapt.train_source",),
        lambda c: c.start is not None,
    ),
    KeyRule(
        "adapt.train_source=false trains no source model",
        ("source_optim",),
        lambda c: c.start is None and not c.adapt.train_source,
    ),
    KeyRule(
        "only the parts adversarial and conditional reverse a gradient",
        ("adapt.reversal_steps",),
        lambda c: not _any_part(c, ("adversarial", "conditional")),
    ),
    KeyRule(
        "adapt.choose says which epoch is kept",
        ("select.rule",),
        lambda c: c.start is not None,
    ),
    KeyRule(
        "the method has no parts",
        ("adapt.ramp", "adapt.batch_norm", "adapt.source_prompts", "adapt.shares", "adapt.gate"),
        lambda c: c.source_free,
    ),
    KeyRule(
        "adapt.shares=none estimates no class shares",
        ("adapt.share_power",),
        lambda c: c.adapt.share_estimator is None,
    ),
    KeyRule(
        "only the part metric has class centers",
        ("adapt.margin", "adapt.domain_weight", "adapt.centers", "adapt.center_lr"),
        lambda c: not _any_part(c, ("metric",)),
    ),
    KeyRule(
        "only the parts metric, pseudo and text have pseudo-labels",
        ("adapt.threshold", "adapt.balance", "adapt.teacher"),
        lambda c: not _any_part(c, _PSEUDO_LABELED),
    ),
    *_TRAINING,
]

RULES: Mapping[str, Sequence[KeyRule]] = {
    "train": _TRAINING,
    "adapt": _ADAPT,
    "gan pretrain": _GAN_PRETRAIN,
    "gan train": _GAN_TRAIN,
    "bench train": _BENCH,
}
