"""Names in a configuration, checked before anything is read, drawn or loaded, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ke2nt.checkpoints.find_model import check_model_name
from ke2nt.checkpoints.find_weights import find_initial_weights
from ke2nt.config.data import AUTO_SPLIT, DataConfig
from ke2nt.config.schema import TrainConfig
from ke2nt.datasets.base import Reader
from ke2nt.datasets.catalog import get_reader
from ke2nt.errors import DataError
from ke2nt.models.backbone_names import check_backbone_name
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.atomic import check_folder
from ke2nt.vlm.auto_encoder import AUTO_ENCODER
from ke2nt.vlm.catalog import DEFAULT_ENCODER, get_text_encoder

if TYPE_CHECKING:
    from ke2nt.config.model import TextConfig

__all__ = ["check_dataset", "check_names", "one_class_error"]


def check_names(config: TrainConfig) -> Reader:
    """Check the names that a training run would meet later, when images are decoded already.

    Returns:
        The reader of the dataset.

    Raises:
        DataError: There is no such dataset, option or split.
        LayoutError: The dataset's folder does not have its layout.
        ModelError: There is no such backbone.
        CheckpointError: There is no such model to start from or to learn from, or no such initial
            weights.
        PromptError: There is no such prompt set, or it is not valid.
        TextEncoderError: There is no such text encoder.
        ConfigError: The run directory cannot be written.
    """
    check_folder(Path(config.out))
    reader = check_dataset(config.data, uses_test=config.select.on == "test")

    # a model to start from brings its image encoder
    if config.start is not None:
        check_model_name(config.start)
    else:
        check_backbone_name(config.model.backbone)
        _check_weights(config.model.weights, config.model.backbone)
    if config.loss.distillation is not None:
        check_model_name(config.loss.distillation.teacher)
    if config.model.head == "text" and config.text.bank is None:
        _check_text(config.text)
    return reader


def check_dataset(data: DataConfig, *, uses_test: bool = False) -> Reader:
    """Check a dataset's name, folder, options and splits.

    Args:
        data: The dataset.
        uses_test: Whether the epoch is chosen on the split "test".

    Raises:
        DataError: There is no such dataset, option or split.
        LayoutError: The folder does not have the dataset's layout.
    """
    reader = get_reader(data.name, data.root, data.options)
    for split in (data.train_split, "test" if uses_test else data.val_split):
        if split not in (AUTO_SPLIT, None):
            reader.check_split(split)

    # both are met again when images are listed, seconds later
    if len(reader.classes) == 1:
        raise one_class_error(data.name, "all", reader.classes)
    if reader.splits == ("val",) and data.train_split == AUTO_SPLIT == data.val_split:
        raise DataError(
            "there is no split to train on",
            expected="a split train, or classes without splits",
            found="the split val alone",
            where=reader.root,
            hint="Rename the folder val to train, or set data.val_split=null to take a part of it "
            "for validation.",
        )
    return reader


def one_class_error(dataset: str, split: str, classes: Sequence[str]) -> DataError:
    """The error for images of one class: a model that always answers it would score 100 %."""
    return DataError(
        "all images show one class",
        where=f"{dataset} {split}",
        expected="images of two classes or more",
        found=", ".join(classes),
        hint="Add a folder of images for each other class, or name the folder above the class "
        "folders; data.hold_out leaves classes out.",
    )


def _check_weights(weights: str | None, backbone: str) -> None:
    # timm's come from its hub, and those of the extra `faces` are converted when they are loaded
    if weights not in (None, "timm", "faces"):
        find_initial_weights(weights, backbone)


def _check_text(text: TextConfig) -> None:
    PromptSet.load(text.prompts)
    # adapters of libraries check their part of the name; they import torch
    if text.encoder not in (DEFAULT_ENCODER, AUTO_ENCODER):
        get_text_encoder(text.encoder, cache_dir=text.cache_dir)
