"""Configuration of the training data: `data` and `augment`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ke2nt.config.section import FREE_ON_RESUME, Section

__all__ = ["AUTO_SPLIT", "AugmentConfig", "DataConfig", "ExtraConfig"]

AUTO_SPLIT = "auto"
"""Value of `data.train_split` and `data.val_split`: the usual split where the data have it."""


class ExtraConfig(Section):
    """Synthetic faces added to the training images: a folder of them, or a frozen generator."""

    folder: str | None = Field(
        None,
        description="Image folder with a subfolder for each class, as for the dataset `folder`.",
        json_schema_extra=FREE_ON_RESUME,
    )
    generator: str | None = Field(
        None,
        description="Run of `ke2nt gan pretrain`, or the folder of its generator.",
        json_schema_extra=FREE_ON_RESUME,
    )
    share: float = Field(0.3, gt=0.0, lt=1.0, description="Share of synthetic images in an epoch.")
    count: int = Field(
        4000, ge=1, description="Faces to draw from the generator once; an epoch uses some of them."
    )

    @model_validator(mode="after")
    def _check_source(self) -> ExtraConfig:
        if (self.folder is None) == (self.generator is None):
            raise ValueError("extra needs either a folder or a generator")
        return self


class DataConfig(Section):
    """Dataset, splits, and how images are loaded."""

    name: str = Field(
        "ferplus",
        description="Dataset of `ke2nt data list`, or dotted path to your own Reader class.",
    )
    root: str | None = Field(
        None,
        description="The dataset's folder, or a manifest file.",
        json_schema_extra=FREE_ON_RESUME,
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the dataset, such as {rule: majority}."
    )
    train_options: dict[str, Any] = Field(
        default_factory=dict,
        description="Further options for the training split only: {rule: plurality10} adds the "
        "faces that annotators did not agree on.",
    )
    train_split: str = Field(
        "train", description="Split to train on; auto: train, or the only split of the data."
    )
    val_split: str | None = Field(
        None,
        description="Split for model selection; null takes a part of the training split; auto: "
        "val where the data have it, otherwise a part of the training split.",
    )
    val_fraction: float = Field(
        0.1, gt=0.0, lt=0.9, description="Share of the training split taken for validation."
    )
    fraction: float = Field(1.0, gt=0.0, le=1.0, description="Share of training labels to use.")
    shots: int | None = Field(
        None,
        ge=1,
        description="Training images of each class to use, drawn by the seed; null: all.",
    )
    hold_out: tuple[str, ...] = Field(
        (), description="Classes left out of training and validation."
    )
    soft_labels: bool = Field(False, description="Train on the annotators' vote shares.")
    sampling: Literal["natural", "sqrt", "balanced"] = Field(
        "natural",
        description="How often a class of n images is drawn: proportional to n, to its square "
        "root, or equally often.",
    )
    extra: ExtraConfig | None = Field(None, description="Additional synthetic training images.")
    memory: Literal["auto", "ram", "device", "lazy"] = Field(
        "auto",
        description="Decode images once into RAM, once into GPU memory (device), or every time "
        "(lazy); auto uses RAM if 4 GiB are enough.",
        json_schema_extra=FREE_ON_RESUME,
    )
    workers: int = Field(
        2,
        ge=0,
        le=64,
        description="Decoding threads or processes.",
        json_schema_extra=FREE_ON_RESUME,
    )

    @model_validator(mode="after")
    def _check_amount(self) -> DataConfig:
        if self.shots is not None and self.fraction < 1.0:
            raise ValueError("data.shots and data.fraction both limit the training images")
        return self


class AugmentConfig(Section):
    """Random augmentation of training images, drawn for each sample and computed on the device."""

    flip: float = Field(0.5, ge=0.0, le=1.0, description="Probability of a mirror image.")
    crop: float = Field(0.5, ge=0.0, le=1.0, description="Probability of a random crop.")
    crop_padding: int = Field(4, ge=0, le=64, description="Padding of the crop, pixels.")
    rotate: float = Field(0.0, ge=0.0, le=90.0, description="Maximum rotation, degrees.")
    scale: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Maximum zoom in or out: the visible part is 1 ± this times the side.",
    )
    translate: float = Field(0.0, ge=0.0, lt=1.0, description="Maximum shift, share of the side.")
    brightness: float = Field(0.0, ge=0.0, le=1.0, description="Maximum change of brightness.")
    contrast: float = Field(0.0, ge=0.0, le=1.0, description="Maximum change of contrast.")
    degrade: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="Probability of one of nine corruptions (blur, noise, JPEG, low light, …) of "
        "any severity, at a random resolution.",
    )
    mixup: float = Field(0.0, ge=0.0, le=10.0, description="α of mixup's Beta(α, α); 0: off.")
    cutmix: float = Field(0.0, ge=0.0, le=10.0, description="α of CutMix's Beta(α, α); 0: off.")
    erase: float = Field(0.5, ge=0.0, le=1.0, description="Probability of random erasing.")
    erase_area: tuple[float, float] = Field((0.02, 0.25), description="Share of the area erased.")
    fill: Literal["zeros", "border", "reflection"] = Field(
        "zeros", description="Pixels outside the image after a geometric change."
    )

    @model_validator(mode="after")
    def _check_area(self) -> AugmentConfig:
        low, high = self.erase_area
        if not 0.0 < low <= high < 1.0:
            raise ValueError("erase_area needs 0 < low <= high < 1")
        return self
