"""Configuration of the model and its objective: `text`, `model` and `loss`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ke2nt.config.attention import AttentionConfig
from ke2nt.config.extra_loss import ExtraLossConfig
from ke2nt.config.section import FREE_ON_RESUME, MAY_MOVE, Section
from ke2nt.config.tuning import LoraConfig, check_tune
from ke2nt.runtime.extensions import is_dotted_path

__all__ = ["BANK_OF_START", "DistillationConfig", "LossConfig", "ModelConfig", "TextConfig"]

BANK_OF_START = "start"
"""Value of `text.bank`: the text bank of the model that the run starts from."""


class TextConfig(Section):
    """Prompts, text encoder, and the scale of the logits."""

    encoder: str = Field(
        "minilm",
        description="minilm, open_clip:ARCH/TAG, transformers:ID-or-folder, the dotted path of a "
        "text encoder class, or auto: the text of an image tower, else CLIP ViT-B/16 if its "
        "weights are here or may be fetched, else minilm.",
        json_schema_extra=MAY_MOVE,
    )
    fetch: bool = Field(
        False,
        description="Whether encoder: auto may fetch CLIP's weights.",
        json_schema_extra=FREE_ON_RESUME,
    )
    prompts: str = Field(
        "paper",
        description="Prompt set: a shipped name or a YAML file.",
        json_schema_extra=MAY_MOVE,
    )
    logit_scale: float | None = Field(
        None, gt=0.0, description="Scale s of the cosine logits; null uses the encoder's scale."
    )
    learn_logit_scale: bool = Field(False, description="Train the scale of the logits.")
    learn_logit_bias: bool = Field(
        False, description="Train the bias of loss.similarity_form: sigmoid, from its value on."
    )
    logit_scale_start: float | None = Field(
        None, gt=0.0, description="Scale of the first step, for a scale that rises to logit_scale."
    )
    logit_scale_epochs: float = Field(
        3.0, gt=0.0, description="Epochs in which it rises, by an equal factor each step."
    )
    bank: str | None = Field(
        None,
        description="Folder of a saved TextBank, in place of encoder and prompts; `start`: the "
        "text bank of the model to start from.",
        json_schema_extra=MAY_MOVE,
    )
    geometry: Literal["paper", "centered", "whitened"] = Field(
        "paper",
        description="Class vectors: unchanged, with their mean subtracted, or made orthonormal.",
    )
    cache_dir: str | None = Field(
        None,
        description="Cache folder; null uses the default.",
        json_schema_extra=FREE_ON_RESUME,
    )


class ModelConfig(Section):
    """Image encoder and head."""

    head: Literal["text", "linear"] = Field(
        "text", description="text: KE2NT, images are matched to text. linear: the baseline."
    )
    backbone: str = Field(
        "resnet18",
        description="Any timm model name; open_clip:ARCH/TAG-or-path or transformers:ID-or-folder "
        "for the image tower of a vision-language model with its weights; swin_t as published, "
        "iresnet18 to iresnet200 or dlib_resnet of face recognition, or the dotted path of your "
        "own network, such as my_nets.FaceNet.",
    )
    backbone_options: dict[str, Any] = Field(
        default_factory=dict,
        description="Arguments of the backbone, such as {drop_path_rate: 0.1}; {regions: learned} "
        "adds features of four corners of the last feature map, each from its own branch as DMSRL "
        "has them; {regions: mean} adds their means.",
    )
    stem: Literal["standard", "no_pool", "small"] = Field(
        "standard",
        description="For ResNets on small images: no_pool leaves out max-pooling; small also has "
        "stride 1.",
    )
    image_size: int = Field(
        112,
        ge=16,
        le=1024,
        description="Side of the square input, pixels; null: that of an image tower, else 112. "
        "For another size, position embeddings of a tower are interpolated.",
    )
    gray: bool = Field(False, description="Convert images to gray first.")
    weights: str | None = Field(
        None,
        description="Initial weights: null, timm (its hub), imagenet or faces (the extras of these "
        "names, for tf_efficientnet_lite0 and dlib_resnet), or a local file.",
        json_schema_extra=FREE_ON_RESUME,
    )
    min_match: float | None = Field(
        None,
        gt=0.0,
        le=1.0,
        description="Share of the image encoder that a weights file must fill; null: all of it.",
        json_schema_extra=FREE_ON_RESUME,
    )
    projection: Literal["auto", "linear", "neck", "none"] = Field(
        "auto",
        description="From features to the text space: one layer, the published neck of two with "
        "batch normalization, or none. auto: none where backbone and text are one "
        "vision-language model, else linear.",
    )
    reduction: int = Field(4, ge=1, description="Bottleneck of the transformation network, D/r.")
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="Dropout of the pooled features.")
    attention: AttentionConfig | None = Field(
        None, description="Heads with attention on several stages; true for the default ones."
    )
    tune: str = Field(
        "full",
        description="What trains beside the heads. full: the whole encoder. head: nothing. norms: "
        "its normalizations. last:N: its last N blocks. lora: low-rank changes of its matrices.",
    )
    lora: LoraConfig = LoraConfig()
    gradient_checkpointing: bool = Field(
        False,
        description="Compute each block of the encoder again in the backward pass, which needs "
        "less memory and more time.",
        json_schema_extra=FREE_ON_RESUME,
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_out_size(cls, values: Any) -> Any:
        """Read image_size: null as a key that is not set."""
        if isinstance(values, dict) and values.get("image_size", 0) is None:
            return {key: value for key, value in values.items() if key != "image_size"}
        return values

    @field_validator("attention", mode="before")
    @classmethod
    def _expand_switch(cls, value: Any) -> Any:
        """Read true as the default attention, and false as none."""
        return {True: {}, False: None}[value] if isinstance(value, bool) else value

    @field_validator("tune")
    @classmethod
    def _check_tune(cls, value: str) -> str:
        return check_tune(value)

    @model_validator(mode="after")
    def _check_average(self) -> ModelConfig:
        directions = self.attention is not None and self.attention.average == "directions"
        if directions and self.head == "linear":
            raise ValueError("attention.average: directions needs head: text")
        return self


class DistillationConfig(Section):
    """A trained model whose class probabilities are learned beside the labels."""

    teacher: str = Field(
        description="A run, a model folder, a model of the package such as ferplus-faces, or a "
        "hub id, with the classes of the data.",
        json_schema_extra=MAY_MOVE,
    )
    weight: float = Field(1.0, gt=0.0, description="Weight of the loss.")
    temperature: float = Field(
        1.0, gt=0.0, le=100.0, description="Temperature of both models' logits within the loss."
    )


class LossConfig(Section):
    """Weights of the KE2NT objective, λ_s L_s + λ_t L_t + λ_c L_c."""

    similarity: float = Field(1.0, ge=0.0, description="Weight λ_s of image–text similarity.")
    similarity_form: Literal["softmax", "sigmoid"] = Field(
        "softmax",
        description="Image-text similarity over all classes (softmax), or of each pair of image "
        "and class, as SigLIP is trained (sigmoid).",
    )
    similarity_bias: float | None = Field(
        None,
        description="Added to the logits by the form sigmoid; null: the text encoder's, which "
        "SigLIP has.",
    )
    transformation: float = Field(
        1.0, ge=0.0, description="Weight λ_t of the transformation to the neutral face."
    )
    self_contrast: float = Field(1.0, ge=0.0, description="Weight λ_c of the self-contrast loss.")
    pairing: Literal["batch", "paired"] = Field(
        "batch",
        description="Pairs of the self-contrast loss: all in the batch (as the published code), or "
        "i = j (as the paper's abstract).",
    )
    label_smoothing: float = Field(
        0.0, ge=0.0, lt=1.0, description="Share of a label given to all classes equally."
    )
    text_smoothing: float = Field(
        0.0, ge=0.0, lt=1.0, description="Share of a label given to classes of similar text."
    )
    text_temperature: float = Field(
        0.1, gt=0.0, description="Temperature of those similarities; low: only the nearest class."
    )
    logit_adjustment: float = Field(
        0.0,
        ge=0.0,
        le=4.0,
        description="Times the log share of each class in training, added to the logits within the "
        "similarity loss: with 1 the model's logits treat all classes alike.",
    )
    distillation: DistillationConfig | None = Field(
        None, description="A larger model to learn from; null: labels alone."
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
