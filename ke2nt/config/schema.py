"""The typed configuration of a training run: every key, documented; unknown keys are errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ke2nt.config.attention import AttentionConfig
from ke2nt.config.extra_loss import ExtraLossConfig
from ke2nt.config.pretrain import PretrainConfig
from ke2nt.config.section import FREE_ON_RESUME, MAY_MOVE, Section
from ke2nt.runtime.extensions import is_dotted_path

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
    "TextConfig",
    "TrainConfig",
]


_NEED_TEXT = ("transformation", "self_contrast", "text_smoothing")


class ExtraConfig(Section):
    """Synthetic faces added to the training images: a folder of them, or a frozen generator."""

    folder: str | None = Field(
        None,
        description="Image folder, a folder a class, as the reader `folder` takes it.",
        json_schema_extra=FREE_ON_RESUME,
    )
    generator: str | None = Field(
        None,
        description="Run of `ke2nt gan pretrain`, or the folder of its generator.",
        json_schema_extra=FREE_ON_RESUME,
    )
    share: float = Field(0.3, gt=0.0, lt=1.0, description="Their share of an epoch's images.")
    count: int = Field(
        4000, ge=1, description="Faces the generator draws once; an epoch takes some of them."
    )

    @model_validator(mode="after")
    def _check(self) -> ExtraConfig:
        if (self.folder is None) == (self.generator is None):
            raise ValueError("extra needs either a folder or a generator")
        return self


class DataConfig(Section):
    """Where the faces come from."""

    name: str = Field(
        "ferplus",
        description="Dataset of `ke2nt data list`, or dotted path to your own Reader class.",
    )
    root: str | None = Field(
        None,
        description="The dataset's folder (or manifest file).",
        json_schema_extra=FREE_ON_RESUME,
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Further options of the reader, such as {rule: majority}."
    )
    train_options: dict[str, Any] = Field(
        default_factory=dict,
        description="Options that the training split alone is read with, over those: {rule: "
        "plurality10} adds the faces that annotators did not agree on.",
    )
    train_split: str = "train"
    val_split: str | None = Field(
        None, description="Split to choose the model on; null carves one from the training split."
    )
    val_fraction: float = Field(0.1, gt=0.0, lt=0.9, description="Share carved for validation.")
    fraction: float = Field(1.0, gt=0.0, le=1.0, description="Share of training labels to use.")
    hold_out: tuple[str, ...] = Field(
        (), description="Classes left out of training and validation."
    )
    soft_labels: bool = Field(False, description="Train on the annotators' vote shares.")
    sampling: Literal["natural", "sqrt", "balanced"] = Field(
        "natural",
        description="How often a class of n images is seen: as n, as its square root, or alike.",
    )
    extra: ExtraConfig | None = Field(None, description="Further, synthetic training images.")
    memory: Literal["auto", "ram", "device", "lazy"] = Field(
        "auto",
        description="Decode once into RAM, or into the accelerator's memory, or each time (lazy); "
        "auto takes RAM where 4 GiB suffice.",
        json_schema_extra=FREE_ON_RESUME,
    )
    workers: int = Field(
        2,
        ge=0,
        le=64,
        description="Decoding threads or processes.",
        json_schema_extra=FREE_ON_RESUME,
    )


class AugmentConfig(Section):
    """Random changes of training images; all per sample, on the device."""

    flip: float = Field(0.5, ge=0.0, le=1.0, description="Probability of a mirror image.")
    crop: float = Field(0.5, ge=0.0, le=1.0, description="Probability of a random crop.")
    crop_padding: int = Field(4, ge=0, le=64, description="Padding of that crop, pixels.")
    rotate: float = Field(0.0, ge=0.0, le=90.0, description="Largest rotation, degrees.")
    scale: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Largest zoom in or out: the part that is seen is 1 ± this times the side.",
    )
    translate: float = Field(0.0, ge=0.0, lt=1.0, description="Largest shift, share of the side.")
    brightness: float = Field(0.0, ge=0.0, le=1.0, description="Largest change of brightness.")
    contrast: float = Field(0.0, ge=0.0, le=1.0, description="Largest change of contrast.")
    mixup: float = Field(0.0, ge=0.0, le=10.0, description="α of mixup's Beta(α, α); 0: off.")
    cutmix: float = Field(0.0, ge=0.0, le=10.0, description="α of CutMix's Beta(α, α); 0: off.")
    erase: float = Field(0.5, ge=0.0, le=1.0, description="Probability of random erasing.")
    erase_area: tuple[float, float] = Field((0.02, 0.25), description="Share of the area erased.")
    fill: Literal["zeros", "border", "reflection"] = Field(
        "zeros", description="What lies outside the image after a geometric change."
    )

    @model_validator(mode="after")
    def _check(self) -> AugmentConfig:
        low, high = self.erase_area
        if not 0.0 < low <= high < 1.0:
            raise ValueError("erase_area needs 0 < low <= high < 1")
        return self


class TextConfig(Section):
    """Which words teach, and through which text encoder."""

    encoder: str = Field(
        "minilm",
        description="minilm, open_clip:ARCH/TAG, transformers:ID-or-folder, or the dotted path "
        "of a text encoder class.",
        json_schema_extra=MAY_MOVE,
    )
    prompts: str = Field(
        "paper",
        description="Prompt set: a shipped name or a YAML file.",
        json_schema_extra=MAY_MOVE,
    )
    logit_scale: float | None = Field(
        None, gt=0.0, description="Scale s of the cosine logits; null takes the encoder's own."
    )
    learn_logit_scale: bool = False
    logit_scale_start: float | None = Field(
        None, gt=0.0, description="Scale of the first step, if it is to climb to logit_scale."
    )
    logit_scale_epochs: float = Field(
        3.0, gt=0.0, description="Epochs in which it climbs, by an equal factor each step."
    )
    bank: str | None = Field(
        None,
        description="Folder of a saved TextBank, in place of encoder and prompts.",
        json_schema_extra=MAY_MOVE,
    )
    geometry: Literal["paper", "centered", "whitened"] = Field(
        "paper", description="Class vectors as they are, less their mean, or made orthonormal."
    )
    cache_dir: str | None = Field(
        None,
        description="Cache folder; null takes the usual place.",
        json_schema_extra=FREE_ON_RESUME,
    )


class ModelConfig(Section):
    """The image side."""

    head: Literal["text", "linear"] = Field(
        "text", description="text: KE2NT, matched to the bank. linear: the plain baseline."
    )
    backbone: str = Field(
        "resnet18",
        description="Any timm model name, swin_t as published, or the dotted path of your own "
        "network, such as my_nets.FaceNet.",
    )
    backbone_options: dict[str, Any] = Field(
        default_factory=dict,
        description="Passed on to the backbone, such as {drop_path_rate: 0.1}; {regions: true} "
        "adds the features of four corners of the last map.",
    )
    stem: Literal["standard", "no_pool", "small"] = Field(
        "standard", description="ResNets on small images: without max-pooling, or stride 1 too."
    )
    image_size: int = Field(112, ge=16, le=1024, description="Side of the square input, pixels.")
    gray: bool = Field(False, description="Remove color first.")
    weights: str | None = Field(
        None,
        description="Initial weights: null, timm (its hub), imagenet (the extra of that name, for "
        "tf_efficientnet_lite0), or a local file.",
        json_schema_extra=FREE_ON_RESUME,
    )
    reduction: int = Field(4, ge=1, description="Bottleneck of the transformation network, D/r.")
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    attention: AttentionConfig | None = Field(
        None, description="Heads with attention on several stages; true for the usual ones."
    )

    @field_validator("attention", mode="before")
    @classmethod
    def _usual(cls, value: Any) -> Any:
        return {True: {}, False: None}[value] if isinstance(value, bool) else value


class LossConfig(Section):
    """Weights of the KE2NT objective, λ_s L_s + λ_t L_t + λ_c L_c."""

    similarity: float = Field(1.0, ge=0.0)
    transformation: float = Field(1.0, ge=0.0)
    self_contrast: float = Field(1.0, ge=0.0)
    pairing: Literal["batch", "paired"] = Field(
        "batch",
        description="Pairs of the self-contrast loss: all in the batch (published) or i = j.",
    )
    label_smoothing: float = Field(0.0, ge=0.0, lt=1.0)
    text_smoothing: float = Field(
        0.0, ge=0.0, lt=1.0, description="Share of a label given to classes of similar text."
    )
    text_temperature: float = Field(
        0.1, gt=0.0, description="Temperature of those similarities; a low one keeps the nearest."
    )
    extra: dict[str, ExtraLossConfig] = Field(
        default_factory=dict,
        description="Losses of other packages to add: {package.module.MyLoss: 0.5}, or with "
        "arguments {package.module.MyLoss: {weight: 0.5, margin: 1.0}}.",
    )

    @field_validator("extra")
    @classmethod
    def _check_paths(cls, value: dict[str, ExtraLossConfig]) -> dict[str, ExtraLossConfig]:
        for path in value:
            if not is_dotted_path(path):
                raise ValueError(f"{path!r} is not of the form package.module.MyLoss")
        return value


Beta = Annotated[float, Field(ge=0.0, lt=1.0)]
"""Decay of one of Adam's averages."""


class OptimConfig(Section):
    """Optimizer and schedule."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.002, gt=0.0, description="Peak learning rate.")
    momentum: float = Field(0.9, ge=0.0, lt=1.0)
    nesterov: bool = False
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    weight_decay: float = Field(5e-4, ge=0.0)
    layer_decay: float | None = Field(
        None,
        gt=0.0,
        le=1.0,
        description="Learning rate of each layer as a share of the next one's, for pretrained "
        "weights.",
    )
    decay_all: bool = Field(
        False, description="Decay biases and norms too; otherwise weight matrices alone."
    )
    clip: float | None = Field(None, gt=0.0, description="Largest gradient norm of the model.")
    batch_size: int = Field(64, ge=1, description="Images of a step, over all processes.")
    epochs: int = Field(50, ge=1, description="All epochs, warm-up included.")
    warmup_epochs: float = Field(1.0, ge=0.0)
    warmup_lr: float = Field(1e-4, ge=0.0, description="Learning rate at the start of warm-up.")
    warmup: Literal["linear", "constant"] = Field(
        "constant", description="Warm-up climbs to the peak, or stays at warmup_lr."
    )
    min_lr: float = Field(0.0, ge=0.0, description="Learning rate at the end of the cosine.")
    ema: float | None = Field(None, gt=0.0, lt=1.0, description="Decay of the weight average.")
    not_finite: Literal["stop", "skip"] = Field(
        "stop",
        description="A loss that is not finite: stop with the batch saved, or skip it.",
        json_schema_extra=FREE_ON_RESUME,
    )
    sync_batch_norm: bool = Field(
        True, description="With several processes: normalize over the images of all of them."
    )

    @model_validator(mode="after")
    def _check(self) -> OptimConfig:
        if self.warmup_epochs >= self.epochs:
            raise ValueError("warmup_epochs must be smaller than epochs")
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class SelectConfig(Section):
    """Which epoch's model is kept."""

    metric: Literal["uar", "accuracy", "macro_f1"] = "accuracy"
    rule: Literal["best", "last"] = "best"
    on: Literal["validation", "test"] = Field(
        "validation",
        description="test is the optimistic protocol of some papers; every report then says so.",
    )
    every: int = Field(1, ge=1, description="Epochs between two evaluations.")
    flip_tta: bool = Field(False, description="Judge each face together with its mirror image.")


class TrainConfig(Section):
    """One training run."""

    seed: int = Field(29, ge=0, lt=2**31)
    out: str = Field("runs/run", description="Run directory.", json_schema_extra=FREE_ON_RESUME)
    device: str = Field(
        "auto", description="auto, cpu, cuda or mps.", json_schema_extra=FREE_ON_RESUME
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="auto: bf16 autocast on CPUs and GPUs that compute in it, else fp32.",
        json_schema_extra=FREE_ON_RESUME,
    )
    deterministic: bool = Field(
        False, description="Only operations that give the same bits each time; slower on GPUs."
    )
    compile: bool = Field(
        False,
        description="Compile the model with torch.compile; the first step takes minutes.",
        json_schema_extra=FREE_ON_RESUME,
    )
    cuda_graphs: bool = Field(
        False,
        description="On one GPU: record a step's forward and backward pass as a CUDA graph and "
        "replay it.",
        json_schema_extra=FREE_ON_RESUME,
    )
    keep_checkpoints: int = Field(2, ge=1, json_schema_extra=FREE_ON_RESUME)
    checkpoint_every: float = Field(
        0.0,
        ge=0.0,
        description="Least seconds between two checkpoints; 0: one after each epoch. The last "
        "epoch and an interruption always have one.",
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

    @model_validator(mode="before")
    @classmethod
    def _linear_head(cls, value: Any) -> Any:
        """A linear head has no text: its objective is cross-entropy alone."""
        if isinstance(value, dict) and isinstance(value.get("model"), dict):
            loss = value.get("loss") or {}
            if value["model"].get("head") == "linear" and isinstance(loss, dict):
                value = {**value, "loss": {**loss, **dict.fromkeys(_NEED_TEXT, 0.0)}}
        return value
