"""Configuration of optimizer, schedule and model selection: `optim` and `select`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from ke2nt.config.section import FREE_ON_RESUME, Section

__all__ = ["Beta", "OptimConfig", "SelectConfig"]

Beta = Annotated[float, Field(ge=0.0, lt=1.0)]
"""Decay of one of Adam's averages."""


class OptimConfig(Section):
    """Optimizer and schedule."""

    name: Literal["sgd", "adamw"] = Field("sgd", description="Optimizer.")
    lr: float = Field(0.002, gt=0.0, description="Peak learning rate.")
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="Momentum of sgd.")
    nesterov: bool = Field(False, description="Nesterov momentum.")
    betas: tuple[Beta, Beta] = Field((0.9, 0.999), description="Decay of adamw's averages.")
    weight_decay: float = Field(5e-4, ge=0.0, description="Weight decay.")
    layer_decay: float | None = Field(
        None,
        gt=0.0,
        le=1.0,
        description="Learning rate of each layer as a share of the next layer's, for pretrained "
        "weights.",
    )
    decay_all: bool = Field(
        False, description="Apply weight decay to biases and norms, too, not only to matrices."
    )
    clip: float | None = Field(None, gt=0.0, description="Maximum gradient norm.")
    batch_size: int = Field(64, ge=1, description="Images in a step, over all processes.")
    epochs: int = Field(50, ge=1, description="Number of epochs, including warm-up.")
    schedule: Literal["cosine", "steps"] = Field(
        "cosine",
        description="After warm-up: half a cosine from lr to min_lr, or steps down from lr.",
    )
    step_epochs: int = Field(
        30, ge=1, description="steps: epochs from one step to the next, counted from the start."
    )
    step_factor: float = Field(
        0.1, gt=0.0, le=1.0, description="steps: factor of the learning rate at each step."
    )
    warmup_epochs: float = Field(
        1.0,
        ge=0.0,
        validate_default=True,
        description="Epochs of warm-up; half of the epochs if that is all of them or more.",
    )
    warmup_lr: float = Field(1e-4, ge=0.0, description="Learning rate at the start of warm-up.")
    warmup: Literal["linear", "constant"] = Field(
        "constant", description="Warm-up rises to the peak, or stays at warmup_lr."
    )
    min_lr: float = Field(0.0, ge=0.0, description="Learning rate at the end of the cosine.")
    ema: float | None = Field(None, gt=0.0, lt=1.0, description="Decay of the weight average.")
    not_finite: Literal["stop", "skip"] = Field(
        "stop",
        description="If the loss is NaN or infinite: stop and save the batch, or skip it.",
        json_schema_extra=FREE_ON_RESUME,
    )
    sync_batch_norm: bool = Field(
        True, description="With several processes: normalize over the images of all of them."
    )

    @field_validator("warmup_epochs")
    @classmethod
    def _leave_epochs_after_warmup(cls, value: float, info: ValidationInfo) -> float:
        """Shorten a warm-up that would never end, such as in a trial run of one epoch."""
        epochs = info.data.get("epochs")  # absent if it is not valid
        return value if epochs is None or value < epochs else epochs / 2

    @model_validator(mode="after")
    def _check_schedule(self) -> OptimConfig:
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class SelectConfig(Section):
    """Which epoch's model is kept."""

    metric: Literal["uar", "accuracy", "macro_f1"] = Field(
        "accuracy", description="Metric that decides."
    )
    rule: Literal["best", "last"] = Field("best", description="Keep the best or the last epoch.")
    on: Literal["validation", "test"] = Field(
        "validation",
        description="test is the optimistic protocol of some papers; every report then says so.",
    )
    every: int = Field(1, ge=1, description="Epochs between two evaluations.")
    flip_tta: bool = Field(False, description="Average each image with its mirror image.")
