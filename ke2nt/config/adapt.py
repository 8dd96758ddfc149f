"""The typed configuration of an adaptation: a training run plus an unlabeled target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from ke2nt.config.schema import OptimConfig, TrainConfig
from ke2nt.config.section import FREE_ON_RESUME, MAY_MOVE, Section
from ke2nt.runtime.extensions import is_dotted_path
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["METHOD_NAMES", "PART_NAMES", "AdaptConfig", "AdaptSection", "TargetConfig"]

PART_NAMES = ("metric", "adversarial", "conditional", "coral", "mmd", "pseudo", "text")
SOURCE_FREE = ("statistics", "entropy")
_PUBLISHED_REVERSAL = 10_000
UNTRAINED = ("statistics", "shares")
METHOD_NAMES = ("source", "dann", "cdan", "coral", "mmd", "pseudo", "dmsrl", "shares", *SOURCE_FREE)


def _one_of(names: Sequence[str]) -> Callable[[str], str]:
    """Return a validator that accepts these names and dotted paths."""

    def check(name: str) -> str:
        if name in names or is_dotted_path(name):
            return name
        expected = f"expected {', '.join(names)}, or package.module.Name"
        hint = did_you_mean(name, names)
        raise ValueError(expected if hint is None else f"{expected}. {hint}")

    return check


Method = Annotated[str, AfterValidator(_one_of(METHOD_NAMES))]
Part = Annotated[str, AfterValidator(_one_of(PART_NAMES))]


class TargetConfig(Section):
    """The images to adapt to. Labels, if there are any, are read for the final report only."""

    name: str = Field(
        "folder",
        description="Dataset of `ke2nt data list`, or dotted path to your own Reader class.",
    )
    root: str | None = Field(
        None,
        description="Dataset folder; for `folder` also a folder of unsorted images.",
        json_schema_extra=FREE_ON_RESUME,
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the reader.")
    split: str | None = Field(
        None, description="Split to adapt to; null takes train, or the only split."
    )
    report_split: str | None = Field(
        None, description="Split of the report; null takes the images of the adaptation."
    )
    labeled: bool = Field(
        True, description="Whether class folders are expressions; false ignores them."
    )
    limit: int | None = Field(
        None, ge=1, description="Maximum number of images, spread evenly over the split."
    )
    memory: Literal["auto", "ram", "lazy"] = Field(
        "auto", description="As data.memory.", json_schema_extra=FREE_ON_RESUME
    )
    workers: int = Field(
        2,
        ge=0,
        le=64,
        description="Decoding threads or processes.",
        json_schema_extra=FREE_ON_RESUME,
    )


class AdaptSection(Section):
    """How the model is adapted to the target."""

    method: Method = Field(
        "dmsrl",
        description="source: labeled images only. dann, cdan, coral, mmd, pseudo: one part each. "
        "dmsrl: metric and adversarial. shares: only the class shares, without training. "
        "statistics, entropy: from a saved model, without source images. package.module.Name: a "
        "part of another package.",
    )
    weights: dict[Part, float] = Field(
        default_factory=dict,
        description="Weights of parts, added to those of the method or in place of them; 0 turns "
        "a part off.",
    )
    train_source: bool = Field(
        True,
        description="Without `start`: train a model on the source first. false: adapt from the "
        "initial weights of `model`, in one training.",
    )
    ramp: float = Field(
        10.0, ge=0.0, description="Steepness a of the ramp w(p) = 2 / (1 + exp(−a p)) − 1."
    )
    reversal_steps: int | None = Field(
        None,
        ge=0,
        description="N of the discriminator's reversed gradient, 2 / (1 + exp(−10 step / N)) − 1; "
        "0: it follows the ramp w(p). null: 10000 for dmsrl as published, 0 for other methods.",
    )
    margin: float = Field(100.0, ge=0.0, description="Margin between class centers.")
    domain_weight: float = Field(
        0.01, ge=0.0, description="λ_1: weight of the distance between the domains' centers."
    )
    centers: Literal["learned", "text", "tied"] = Field(
        "learned",
        description="Class centers: random at first, independently for each domain (learned), "
        "initialized from the text bank (text), or fixed to it (tied).",
    )
    center_lr: float | None = Field(
        None,
        gt=0.0,
        description="Peak learning rate of the centers; null: 1 with sgd, otherwise 0.01.",
    )
    threshold: float = Field(
        0.0, ge=0.0, lt=1.0, description="Minimum confidence of a pseudo-label; 0 uses all."
    )
    balance: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="How strongly pseudo-labels are balanced over the classes, from 0 to 1.",
    )
    gate: float | None = Field(
        None,
        ge=0.0,
        le=2.0,
        description="Adapt only if the domains are at least this far apart in the embeddings of "
        "the model to start from (0 to 2, equally many images of each predicted class); otherwise "
        "the model stays as it is. null: always adapt.",
    )
    shares: Literal["none", "em", "bbse", "checked"] = Field(
        "none",
        description="Estimate the class shares of the target, and correct pseudo-labels and the "
        "adapted model's predictions by them. em: maximum likelihood. bbse: from the confusions "
        "on the source. checked: em, but no correction unless bbse agrees and the domains look "
        "the same. The method shares takes em by default.",
    )
    share_power: float = Field(
        1.0,
        ge=0.0,
        le=1.0,
        description="Exponent of the estimated shares: 1 follows them, best for accuracy; smaller "
        "values favor rare classes, for UAR; 0 treats all classes alike.",
    )
    teacher: Literal["model", "average"] = Field(
        "model",
        description="Source of pseudo-labels: the model on augmented images, or its running "
        "average (optim.ema) on images without augmentation.",
    )
    batch_norm: Literal["joint", "separate", "target"] | None = Field(
        None,
        description="joint: both domains are normalized together. separate: each by its own "
        "statistics; those of both are averaged for the model. target: each by its own; those of "
        "the target are kept. null: separate for dmsrl as published, joint for other methods.",
    )
    source_prompts: str | None = Field(
        None,
        description="Prompt set for the source images, such as one that names their style; the "
        "saved model has text.prompts, which then describe the target.",
        json_schema_extra=MAY_MOVE,
    )
    choose: Literal["last", "information", "source"] = Field(
        "last",
        description="Epoch to keep: the last, the one with the highest mutual information between "
        "target images and predictions, or the best on the source validation split.",
    )

    @property
    def share_estimator(self) -> Literal["em", "bbse", "checked"] | None:
        """How the class shares of the target are estimated; None if they are not."""
        if self.shares != "none":
            return self.shares
        return "em" if self.method == "shares" else None

    @property
    def normalization(self) -> Literal["joint", "separate", "target"]:
        """Which statistics normalize which domain, see `batch_norm`."""
        if self.batch_norm is not None:
            return self.batch_norm
        return "separate" if self.method == "dmsrl" else "joint"

    @property
    def reversal_ramp(self) -> int:
        """N of `reversal_steps`; 0 if the reversed gradient follows w(p)."""
        if self.reversal_steps is not None:
            return self.reversal_steps
        return _PUBLISHED_REVERSAL if self.method == "dmsrl" else 0


class AdaptConfig(TrainConfig):
    """One adaptation: a source model, trained first unless `start` is set, moved to a target."""

    start: str | None = Field(
        None,
        description="Saved model to start from; null trains one in OUT/source.",
        json_schema_extra=FREE_ON_RESUME,
    )
    source_optim: OptimConfig | None = Field(
        None, description="Optimizer of the source training; null uses optim."
    )
    target: TargetConfig = TargetConfig()
    adapt: AdaptSection = AdaptSection()

    @property
    def source_free(self) -> bool:
        """Whether the method needs no source images."""
        return self.adapt.method in SOURCE_FREE

    @model_validator(mode="after")
    def _check_combinations(self) -> AdaptConfig:
        method = self.adapt
        if method.teacher == "average" and self.optim.ema is None:
            raise ValueError("adapt.teacher=average needs a running average, optim.ema")
        if self.sharding != "none":
            raise ValueError("an adaptation cannot shard its model; use sharding=none")

        # without training, the model has to be trained already
        untrained = self.source_free or method.method == "shares"
        if untrained and method.weights:
            raise ValueError(f"adapt.method={method.method} has no parts to weight")
        if untrained and not method.train_source and self.start is None:
            raise ValueError(f"adapt.method={method.method} needs a trained model to start from")

        # what needs the labels or the images of the source
        if self.source_free and method.share_estimator is not None:
            raise ValueError(f"adapt.method={method.method} has no source images for adapt.shares")
        if self.source_free and method.gate is not None:
            raise ValueError(f"adapt.method={method.method} has no source images for adapt.gate")
        if self.source_free and method.choose == "source":
            raise ValueError(
                f"adapt.method={method.method} has no source images for adapt.choose=source"
            )
        return self

    def source_run(self) -> TrainConfig:
        """Return the configuration that trains the source model."""
        values = {name: getattr(self, name) for name in TrainConfig.model_fields}
        # `start` is the model to adapt; it is trained here where there is none
        changes = {
            "out": f"{self.out}/source",
            "start": None,
            "optim": self.source_optim or self.optim,
        }
        return TrainConfig.model_construct(**{**values, **changes})

    def adaptation_run(self, *, mixes: bool) -> AdaptConfig:
        """Return the configuration of the adaptation itself.

        Args:
            mixes: Whether mixup and cutmix apply: not without labels, nor with class centers.
        """
        rule: Literal["best", "last"] = "last" if self.adapt.choose == "last" else "best"
        changes: dict[str, Any] = {
            "select": self.select.model_copy(update={"rule": rule, "on": "validation"}),
            # the logit scale of the model to start from has already reached its final value
            "text": self.text.model_copy(update={"logit_scale_start": None}),
        }

        # without labels there are no classes to balance
        if self.source_free:
            changes["data"] = self.data.model_copy(update={"sampling": "natural"})
        if not mixes:
            changes["augment"] = self.augment.model_copy(update={"mixup": 0.0, "cutmix": 0.0})
        return self.model_copy(update=changes)
