"""The typed configuration of a training run: every key is documented, unknown keys are errors."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ke2nt.config.data import AugmentConfig, DataConfig, ExtraConfig
from ke2nt.config.model import BANK_OF_START, LossConfig, ModelConfig, TextConfig
from ke2nt.config.optim import Beta, OptimConfig, SelectConfig
from ke2nt.config.pretrain import PretrainConfig
from ke2nt.config.section import FREE_ON_RESUME, MAY_MOVE, Section

__all__ = [
    "AugmentConfig",
    "Beta",
    "DataConfig",
    "ExtraConfig",
    "LossConfig",
    "ModelConfig",
    "OptimConfig",
    "Section",
    "SelectConfig",
    "TEXT_LOSSES",
    "TextConfig",
    "TrainConfig",
]

TEXT_LOSSES = ("transformation", "self_contrast", "text_smoothing")
"""Weights of losses that a linear head has no text for."""


class TrainConfig(Section):
    """One training run."""

    seed: int = Field(29, ge=0, lt=2**31, description="Random seed.")
    start: str | None = Field(
        None,
        description="Saved model to start from: a run, a model folder, a model of the package such "
        "as ferplus-faces, or a hub id. Its image side replaces the section model.",
        json_schema_extra=MAY_MOVE,
    )
    out: str = Field("runs/run", description="Run directory.", json_schema_extra=FREE_ON_RESUME)
    device: str = Field(
        "auto", description="auto, cpu, cuda or mps.", json_schema_extra=FREE_ON_RESUME
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="auto: bf16 autocast where the device computes in it natively, else fp32.",
        json_schema_extra=FREE_ON_RESUME,
    )
    deterministic: bool = Field(
        False, description="Use only operations with bit-identical results; slower on GPUs."
    )
    compile: bool = Field(
        False,
        description="Compile the model with torch.compile; the first step takes minutes.",
        json_schema_extra=FREE_ON_RESUME,
    )
    cuda_graphs: bool | Literal["auto"] = Field(
        False,
        description="On one GPU: record a step's forward and backward pass as a CUDA graph and "
        "replay it. auto: where that is possible.",
        json_schema_extra=FREE_ON_RESUME,
    )
    sharding: Literal["none", "full"] = Field(
        "none",
        description="With several processes. full: each holds a part of every parameter, gradient "
        "and optimizer state (FSDP2), for encoders that do not fit one card. none: each holds all.",
        json_schema_extra=FREE_ON_RESUME,
    )
    keep_checkpoints: int = Field(
        2,
        ge=1,
        description="How many checkpoints are kept while the run goes on.",
        json_schema_extra=FREE_ON_RESUME,
    )
    keep: bool = Field(
        False,
        description="Keep those checkpoints when the run has ended, too.",
        json_schema_extra=FREE_ON_RESUME,
    )
    checkpoint_every: float = Field(
        0.0,
        ge=0.0,
        description="Minimum seconds between checkpoints; 0: one after each epoch. The last "
        "epoch and an interruption always save one.",
        json_schema_extra=FREE_ON_RESUME,
    )
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    text: TextConfig = TextConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    pretrain: PretrainConfig | None = Field(
        None, description="A first stage that learns attributes of people; null: none."
    )
    optim: OptimConfig = OptimConfig()
    select: SelectConfig = SelectConfig()

    @model_validator(mode="after")
    def _check_bank(self) -> TrainConfig:
        if self.text.bank == BANK_OF_START and self.start is None:
            raise ValueError("text.bank=start needs a model to start from: start=MODEL")
        return self

    @model_validator(mode="after")
    def _check_bias(self) -> TrainConfig:
        if self.text.learn_logit_bias and self.loss.similarity_form != "sigmoid":
            raise ValueError("text.learn_logit_bias needs loss.similarity_form=sigmoid")
        return self

    @model_validator(mode="after")
    def _check_sharding(self) -> TrainConfig:
        """Refuse what a sharded model does not support."""
        recorded = self.cuda_graphs is True
        if self.sharding != "none" and (recorded or self.compile):
            found = "cuda_graphs=true" if recorded else "compile=true"
            raise ValueError(f"sharding={self.sharding} cannot be combined with {found}")
        return self

    @model_validator(mode="after")
    def _check_checkpointing(self) -> TrainConfig:
        """Refuse what cannot compute a block twice."""
        recorded = self.cuda_graphs is True
        if self.model.gradient_checkpointing and (recorded or self.compile):
            found = "cuda_graphs=true" if recorded else "compile=true"
            raise ValueError(f"model.gradient_checkpointing cannot be combined with {found}")
        return self

    @model_validator(mode="after")
    def _check_tune(self) -> TrainConfig:
        if self.pretrain is not None and self.model.tune != "full":
            raise ValueError(
                f"model.tune={self.model.tune} cannot be combined with the section pretrain, whose "
                "stage trains the whole encoder; start the second stage from a saved model instead"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _turn_off_text_losses(cls, value: Any) -> Any:
        """Set the text losses of a linear head to 0: its objective is cross-entropy alone."""
        if not (isinstance(value, dict) and isinstance(value.get("model"), dict)):
            return value

        # values that are not valid are left to the validation of their section
        loss = value.get("loss") or {}
        if value["model"].get("head") != "linear" or not isinstance(loss, dict):
            return value
        return {**value, "loss": {**loss, **dict.fromkeys(TEXT_LOSSES, 0.0)}}
