"""The typed configuration of an adaptation: a training run, and a target that has no labels."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ke2nt.config.schema import OptimConfig, TrainConfig
from ke2nt.config.section import Section

__all__ = ["AdaptConfig", "AdaptSection", "Part", "TargetConfig"]

Part = Literal["metric", "adversarial", "conditional", "coral", "mmd", "pseudo", "text"]
Method = Literal[
    "source", "dann", "cdan", "coral", "mmd", "pseudo", "dmsrl", "statistics", "entropy"
]
SOURCE_FREE = ("statistics", "entropy")


class TargetConfig(Section):
    """The images to adapt to. Labels, if they have any, are read for the last report alone."""

    name: str = Field(
        "folder",
        description="Dataset of `ke2nt data list`, or dotted path to your own Reader class.",
    )
    root: str | None = Field(None, description="Its folder; for `folder` also one of bare images.")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the reader.")
    split: str | None = Field(
        None, description="Split to adapt to; null takes train, or the only one."
    )
    report_split: str | None = Field(
        None, description="Split that the report is on; null takes the adapted images themselves."
    )
    labeled: bool = Field(
        True, description="Whether its class names mean anything; false: bare images."
    )
    limit: int | None = Field(None, ge=1, description="Only so many images, spread over the split.")
    memory: Literal["auto", "ram", "lazy"] = Field("auto", description="As data.memory.")
    workers: int = Field(2, ge=0, le=64, description="Decoding threads or processes.")


class AdaptSection(Section):
    """How the model is moved to the target."""

    method: Method = Field(
        "dmsrl",
        description="source: labeled images alone. dann, cdan, coral, mmd, pseudo: one part of "
        "that name. dmsrl: metric and adversarial. statistics, entropy: from a saved model, "
        "without the source.",
    )
    weights: dict[Part, float] = Field(
        default_factory=dict,
        description="Weight of a part, in place of or besides the method's; 0 leaves it out.",
    )
    ramp: float = Field(
        10.0, ge=0.0, description="Steepness a of the ramp w(p) = 2 / (1 + exp(−a p)) − 1."
    )
    margin: float = Field(100.0, ge=0.0, description="Margin between class centers.")
    domain_weight: float = Field(
        1.0, ge=0.0, description="λ_1: how far the domains' centers widen the margin."
    )
    centers: Literal["learned", "text", "tied"] = Field(
        "learned", description="Centers start at random, start at the text bank, or stay there."
    )
    center_lr: float | None = Field(
        None, gt=0.0, description="Peak learning rate of the centers; null: 1 with sgd, 0.01 else."
    )
    threshold: float = Field(
        0.0, ge=0.0, lt=1.0, description="Least confidence of a pseudo-label; 0 takes all."
    )
    balance: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="How far pseudo-labels are evened out over the classes; 1: wholly.",
    )
    teacher: Literal["model", "average"] = Field(
        "model",
        description="Who gives the pseudo-labels: the model on the changed image, or its running "
        "average (optim.ema) on the image as it is.",
    )
    batch_norm: Literal["joint", "target"] = Field(
        "joint",
        description="joint: both domains normalized together. target: each by its own statistics, "
        "the target's are kept.",
    )
    source_prompts: str | None = Field(
        None,
        description="Prompt set of the source's images, such as one that says what they are; the "
        "kept model has text.prompts, which then speak of the target.",
    )
    choose: Literal["last", "information", "source"] = Field(
        "last",
        description="The kept epoch: the last; that of most mutual information between target "
        "images and answers; that of the best source validation.",
    )


class AdaptConfig(TrainConfig):
    """One adaptation: a source model, trained first unless it is given, moved to a target."""

    start: str | None = Field(
        None, description="Saved model to start from; null trains one in OUT/source."
    )
    source_optim: OptimConfig | None = Field(
        None, description="Optimizer of that training; null: as optim."
    )
    target: TargetConfig = TargetConfig()
    adapt: AdaptSection = AdaptSection()

    @property
    def source_free(self) -> bool:
        """Whether the method needs no source images."""
        return self.adapt.method in SOURCE_FREE

    @model_validator(mode="after")
    def _check(self) -> AdaptConfig:
        method = self.adapt
        if method.teacher == "average" and self.optim.ema is None:
            raise ValueError("adapt.teacher=average needs a running average, optim.ema")
        if self.source_free and method.weights:
            raise ValueError(f"adapt.method={method.method} has no parts to weigh")
        if self.source_free and method.choose == "source":
            raise ValueError(f"adapt.method={method.method} sees no source to choose by")
        return self

    def source_run(self) -> TrainConfig:
        """The training of the source model."""
        values = {name: getattr(self, name) for name in TrainConfig.model_fields}
        changes = {"out": f"{self.out}/source", "optim": self.source_optim or self.optim}
        return TrainConfig.model_construct(**{**values, **changes})

    def adaptation_run(self, *, mixes: bool) -> AdaptConfig:
        """The same, with the selection of the adaptation; the model's scale has climbed already.

        Args:
            mixes: Whether images may be mixed: not without labels, nor for centers of classes.
        """
        rule: Literal["best", "last"] = "last" if self.adapt.choose == "last" else "best"
        changes: dict[str, Any] = {
            "select": self.select.model_copy(update={"rule": rule, "on": "validation"})
        }
        changes["text"] = self.text.model_copy(update={"logit_scale_start": None})
        if self.source_free:
            changes["data"] = self.data.model_copy(update={"sampling": "natural"})
        if not mixes:
            changes["augment"] = self.augment.model_copy(update={"mixup": 0.0, "cutmix": 0.0})
        return self.model_copy(update=changes)
