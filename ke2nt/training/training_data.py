"""Training and selection splits of a run, decoded, with their targets; synthetic faces included."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ke2nt.config.data import AUTO_SPLIT
from ke2nt.config.schema import DataConfig, ExtraConfig, TrainConfig
from ke2nt.data.images import median_side
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.data.splits import carve_validation, draw_shots, hold_out, limit_fraction
from ke2nt.data.tensors import FaceTensors
from ke2nt.datasets.base import Reader
from ke2nt.datasets.catalog import get_reader
from ke2nt.errors import ConfigError, DataError, LabelError
from ke2nt.runtime.digest import digest_bytes
from ke2nt.runtime.distributed import world_size
from ke2nt.runtime.seeding import derive_seed
from ke2nt.training.names import one_class_error

__all__ = ["TrainingData", "load_training_data", "load_training_split"]


@dataclass
class TrainingData:
    """What a run trains on, and what its epochs are chosen on.

    Attributes:
        train: Training images.
        val: Images that the kept epoch is chosen on.
        targets: (N,) int64 class indices or (N, K) float32 class shares of the training split.
        num_synthetic: Number of synthetic images, which are the last ones of the training split.
        synthetic_share: Share of the synthetic images in an epoch.
        carved_from: The split that both are parts of; None if each is a split of the data.
        real_positions: Positions of the real training images that were readable at the start.
        synthetic_positions: Positions of the synthetic ones that were.
    """

    train: FaceTensors
    val: FaceTensors
    targets: Tensor
    num_synthetic: int = 0
    synthetic_share: float = 0.0
    carved_from: str | None = None
    real_positions: Tensor = field(init=False)
    synthetic_positions: Tensor = field(init=False)

    def __post_init__(self) -> None:
        # fixed at the start: an image found to be unreadable later must not move the others, as a
        # resumed run has not found it yet
        usable = self.train.usable
        num_real = len(self.train) - self.num_synthetic
        self.real_positions = usable[usable < num_real]
        self.synthetic_positions = usable[usable >= num_real]

    @property
    def synthetic_per_epoch(self) -> int:
        """How many synthetic images an epoch takes."""
        if not len(self.synthetic_positions):
            return 0
        ratio = self.synthetic_share / (1.0 - self.synthetic_share)
        return round(ratio * len(self.real_positions))

    @property
    def classes(self) -> tuple[str, ...]:
        """Label set, in index order."""
        return self.train.split.classes

    def to(self, device: torch.device) -> None:
        """Keep the images of both splits on a device, where they are in RAM."""
        self.train.to(device)
        self.val.to(device)

    def split_record(self) -> dict[str, Any]:
        """Return sample names of both splits and digests of their labels, for `split.json`."""
        # a digest shows a change of labels without storing them all
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

    def native_side(self) -> int | None:
        """Return the side of the training images in pixels, if smaller than the model's input."""
        side = median_side([sample.source for sample in self.train.split.samples])
        return side if side is not None and side < self.train.image_size else None

    def failed(self) -> dict[str, str]:
        """Return sample name → reason, for every image that could not be read."""
        return {**self.train.failed, **self.val.failed}


def load_training_data(
    config: TrainConfig, preprocessing: Preprocessing, *, quiet: bool = False
) -> TrainingData:
    """Read, split and decode the data of a configuration; the result is always the same.

    Raises:
        ConfigError: `data.train_options` do not fit the other options.
        DataError: A split is empty, too small to split off validation data, or shows one class.
        LayoutError: The dataset's folder does not have the expected layout.
    """
    train_split, val_split, carved_from = _load_splits(config)
    _check_several_classes(train_split)
    extra = _load_synthetic(config.data.extra, train_split.classes, config.seed)
    train_split = replace(train_split, samples=(*train_split.samples, *extra))

    train = _decode(train_split, config.data, preprocessing, quiet=quiet)
    val = _decode(val_split, config.data, preprocessing, quiet=quiet)

    # shares of a batch must be equal, so unreadable images have to be found before training
    if world_size() > 1:
        train.read_all(quiet=quiet)

    # (N,) class indices, or (N, K) vote shares
    soft = config.data.soft_labels
    targets = train_split.distributions() if soft else train_split.labels()
    return TrainingData(
        train,
        val,
        torch.from_numpy(targets),
        num_synthetic=len(extra),
        synthetic_share=0.0 if config.data.extra is None else config.data.extra.share,
        carved_from=carved_from,
    )


def load_training_split(config: TrainConfig) -> FaceSplit:
    """Return the samples that a configuration trains on, undecoded and without synthetic ones."""
    return _load_splits(config).train


def _decode(
    split: FaceSplit, config: DataConfig, preprocessing: Preprocessing, *, quiet: bool
) -> FaceTensors:
    """Decode a split; what is to be on the device is in RAM first."""
    return FaceTensors(
        split,
        preprocessing.image_size,
        **preprocessing.resizing(),
        memory="ram" if config.memory == "device" else config.memory,
        workers=config.workers,
        quiet=quiet,
    )


class _Splits(NamedTuple):
    """Training and selection split, and the split that both are parts of, if they are."""

    train: FaceSplit
    val: FaceSplit
    carved_from: str | None


def _load_splits(config: TrainConfig) -> _Splits:
    """Training and selection split, without the classes that are held out."""
    data = config.data
    reader = get_reader(data.name, data.root, data.options)
    train = _training_reader(reader, data).load(_train_split_name(reader, data))
    val_name, carved_from = _val_split_name(reader, data), None
    if config.select.on == "test":
        val = reader.load("test")
    elif val_name is not None:
        val = reader.load(val_name)
    elif data.train_options:
        raise ConfigError(
            "data.train_options would apply to the validation images, too",
            expected="data.val_split names a split",
            found="null: it is taken from the training split",
        )
    else:
        carved_from = train.split
        train, val = carve_validation(train, data.val_fraction, config.seed)

    if val.split == train.split:
        raise DataError(
            "the epoch would be chosen on the training images",
            found=f"split {val.split}"
            + (", the only one" if len(reader.splits) == 1 else f" of {', '.join(reader.splits)}"),
            hint=f"Rename the folder {val.split} to train, or set data.val_split=null to take a "
            "part of it for validation."
            if len(reader.splits) == 1
            else "Set data.val_split to another split, or to null to take a part of the training "
            "split.",
        )

    # after carving, so that the validation split does not depend on the options that follow
    if data.hold_out:
        train, val = hold_out(train, data.hold_out), hold_out(val, data.hold_out)
    if data.fraction < 1.0:
        train = limit_fraction(train, data.fraction, config.seed)
    if data.shots is not None:
        train = draw_shots(train, data.shots, config.seed)
    return _Splits(train, val, carved_from)


def _train_split_name(reader: Reader, data: DataConfig) -> str:
    """The split to train on; a dataset without splits has a single one, whatever its name."""
    if data.train_split != AUTO_SPLIT:
        return data.train_split
    return "train" if "train" in reader.splits or len(reader.splits) != 1 else reader.splits[0]


def _val_split_name(reader: Reader, data: DataConfig) -> str | None:
    """The split to choose the epoch on; None for a part of the training split."""
    if data.val_split != AUTO_SPLIT:
        return data.val_split
    return "val" if "val" in reader.splits else None


def _check_several_classes(train: FaceSplit) -> None:
    """Refuse images of one class: a model that always answers it would score 100 %."""
    shown = sorted({sample.label for sample in train.samples})
    if len(shown) < 2:
        names = [train.classes[label] for label in shown]
        raise one_class_error(train.dataset, train.split, names)


def _training_reader(reader: Reader, data: DataConfig) -> Reader:
    """The reader of the training split, which may have options that the others do not have."""
    if not data.train_options:
        return reader
    training_reader = get_reader(data.name, data.root, {**data.options, **data.train_options})
    if training_reader.classes != reader.classes:
        raise ConfigError(
            "data.train_options change the classes",
            expected=", ".join(reader.classes),
            found=", ".join(training_reader.classes),
        )
    return training_reader


def _load_synthetic(
    config: ExtraConfig | None, classes: tuple[str, ...], seed: int
) -> tuple[FaceSample, ...]:
    """Load or generate the synthetic faces of a configuration, as samples with these classes.

    Raises:
        LabelError: They have a class that the training split does not have.
        Ke2ntError: Folder or generator cannot be read.
    """
    if config is None:
        return ()
    if config.folder is not None:
        return _load_from_folder(config.folder, classes)

    # imported late: heavy and rarely needed
    from ke2nt.generation.networks.generator import FaceGenerator
    from ke2nt.generation.networks.sample_faces import generate_samples

    generator = FaceGenerator.load(str(config.generator))
    _check_classes(generator.classes, classes, config.generator)
    samples = generate_samples(generator, config.count, derive_seed(seed, "extra"), classes)
    return tuple(samples)


def _load_from_folder(folder: str, classes: tuple[str, ...]) -> tuple[FaceSample, ...]:
    reader = get_reader("folder", folder)
    split = reader.load("train" if "train" in reader.splits else reader.splits[0])
    _check_classes(split.classes, classes, folder)

    # the folder may have fewer classes, in another order
    labels = [classes.index(name) for name in split.classes]
    return tuple(
        replace(sample, name=f"extra/{sample.name}", label=labels[sample.label])
        for sample in split.samples
    )


def _check_classes(extra: tuple[str, ...], classes: tuple[str, ...], where: object) -> None:
    unknown = [name for name in extra if name not in classes]
    if unknown:
        raise LabelError(
            f"synthetic faces show {unknown[0]!r}, which is not one of the classes",
            expected=f"only {', '.join(classes)}",
            where=where,
        )
