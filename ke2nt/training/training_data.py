"""The data of a training run: training and selection splits, decoded, with their targets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ke2nt.config.schema import DataConfig, TrainConfig
from ke2nt.data.images import median_side
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.sample import FaceSplit
from ke2nt.data.splits import carve_validation, hold_out, limit_fraction
from ke2nt.data.tensors import FaceTensors
from ke2nt.datasets.base import Reader
from ke2nt.datasets.catalog import get_reader
from ke2nt.errors import ConfigError, DataError
from ke2nt.runtime.digest import digest_bytes
from ke2nt.runtime.distributed import world_size
from ke2nt.training.extra_faces import extra_samples

__all__ = ["TrainingData", "load_training_data", "training_split"]


@dataclass
class TrainingData:
    """What a run trains and selects on.

    Attributes:
        train: Training images.
        val: Images that the model is chosen on.
        targets: (N,) int64 class indices or (N, K) float32 class shares of the training split.
        extra: How many images at the end of the training split are additional, synthetic ones.
        extra_share: Their share of an epoch's images.
        real: Positions of the training images that are not additional ones, readable at the start.
        pool: Positions of the additional ones.
    """

    train: FaceTensors
    val: FaceTensors
    targets: torch.Tensor
    extra: int = 0
    extra_share: float = 0.0
    real: torch.Tensor = field(init=False)
    pool: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        # What is found later to be unreadable moves no other image: a run that is resumed has not
        # met it yet.
        usable, end = self.train.usable, len(self.train) - self.extra
        self.real, self.pool = usable[usable < end], usable[usable >= end]

    @property
    def extra_per_epoch(self) -> int:
        """How many of the additional images an epoch takes."""
        if not len(self.pool):
            return 0
        return round(self.extra_share / (1.0 - self.extra_share) * len(self.real))

    @property
    def classes(self) -> tuple[str, ...]:
        """Label set, in index order."""
        return self.train.split.classes

    def to(self, device: torch.device) -> None:
        """Keep the images of both splits on a device, where they are in RAM."""
        self.train.to(device)
        self.val.to(device)

    def names(self) -> dict[str, Any]:
        """Sample names of both splits and digests of their labels, for the run directory."""
        labels = {"train": self.targets.numpy(), "val": self.val.split.labels()}
        return {
            part: {
                "dataset": tensors.split.dataset,
                "split": tensors.split.split,
                "labels": digest_bytes(labels[part].tobytes()),
                "names": [sample.name for sample in tensors.split.samples],
            }
            for part, tensors in (("train", self.train), ("val", self.val))
        }

    def face_pixels(self) -> int | None:
        """Side in pixels of the training pictures, if smaller than what the model takes in."""
        side = median_side([sample.source for sample in self.train.split.samples])
        return side if side is not None and side < self.train.image_size else None

    def failed(self) -> dict[str, str]:
        """Sample name → reason, of every image that could not be read."""
        return {**self.train.failed, **self.val.failed}


def load_training_data(
    config: TrainConfig, preprocessing: Preprocessing, *, quiet: bool = False
) -> TrainingData:
    """Read, split and decode as the configuration says; the same one gives the same splits.

    Raises:
        ConfigError: `data.train_options` do not go with the other options.
        DataError: A split is empty, or too small to carve a validation split from.
        LayoutError: The dataset's folder does not have its layout.
    """
    train, val = _splits(config)
    more = extra_samples(config.data.extra, train.classes, config.seed)
    train = replace(train, samples=(*train.samples, *more))
    tensors = [
        FaceTensors(
            split,
            preprocessing.image_size,
            interpolation=preprocessing.interpolation,
            memory="ram" if config.data.memory == "device" else config.data.memory,
            workers=config.data.workers,
            quiet=quiet,
        )
        for split in (train, val)
    ]
    if world_size() > 1:  # shares of a batch must be equal, so no image may drop out of one later
        tensors[0].read_all(quiet=quiet)
    targets = train.distributions() if config.data.soft_labels else train.labels()
    return TrainingData(
        tensors[0],
        tensors[1],
        torch.from_numpy(targets),
        extra=len(more),
        extra_share=0.0 if config.data.extra is None else config.data.extra.share,
    )


def training_split(config: TrainConfig) -> FaceSplit:
    """The samples that a configuration trains on, undecoded and without additional ones."""
    return _splits(config)[0]


def _training_reader(reader: Reader, data: DataConfig) -> Reader:
    """What reads the training split, where that differs from the others."""
    if not data.train_options:
        return reader
    own = get_reader(data.name, data.root, {**data.options, **data.train_options})
    if own.classes != reader.classes:
        raise ConfigError(
            "data.train_options change the classes",
            expected=", ".join(reader.classes),
            found=", ".join(own.classes),
        )
    return own


def _splits(config: TrainConfig) -> tuple[FaceSplit, FaceSplit]:
    data = config.data
    reader = get_reader(data.name, data.root, data.options)
    train = _training_reader(reader, data).load(data.train_split)
    if config.select.on == "test":
        val = reader.load("test")
    elif data.val_split is not None:
        val = reader.load(data.val_split)
    elif data.train_options:
        raise ConfigError(
            "data.train_options would be those of the validation images, too",
            expected="data.val_split names a split",
            found="null: it is carved from the training split",
        )
    else:
        train, val = carve_validation(train, data.val_fraction, config.seed)
    if val.split == train.split:
        raise DataError(
            "the model would be chosen on its own training images", found=f"split {val.split}"
        )
    if data.hold_out:
        train, val = hold_out(train, data.hold_out), hold_out(val, data.hold_out)
    if data.fraction < 1.0:
        train = limit_fraction(train, data.fraction, config.seed)
    return train, val
