"""The target's images: without labels for all that learns, with them for the last report alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ke2nt.config.adapt import TargetConfig
from ke2nt.data.images import is_image_name
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.data.tensors import Batch, FaceTensors
from ke2nt.datasets.base import Reader
from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.class_folders import find_class_folders, images_of
from ke2nt.errors import DataError, LabelError
from ke2nt.labels import LabelMapping, map_labels
from ke2nt.runtime.distributed import world_size
from ke2nt.runtime.seeding import torch_generator

__all__ = ["UNKNOWN", "Target", "TargetStream", "load_target", "unlabeled"]

UNKNOWN = -1
_LEAST = 2


def unlabeled(split: FaceSplit, classes: tuple[str, ...]) -> FaceSplit:
    """The images of a split and nothing else: no label, vote, subject or attribute is read.

    Args:
        split: Any split.
        classes: Label set of the result, that of the model.
    """
    samples = tuple(FaceSample(s.name, s.source, UNKNOWN) for s in split.samples)
    return FaceSplit(split.dataset, split.split, classes, samples)


@dataclass(frozen=True)
class Target:
    """What a run adapts to.

    Attributes:
        images: The images to adapt to, decoded, without labels.
        report: The images that the report is on, decoded, without labels; often the same object.
        mapping: How the target's classes read in the model's label set; None for bare images.
        truth: The labeled split of `report`, not looked into before the report; None likewise.
    """

    images: FaceTensors
    report: FaceTensors
    mapping: LabelMapping | None
    truth: FaceSplit | None


def load_target(
    config: TargetConfig,
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    *,
    quiet: bool = True,
) -> Target:
    """Read and decode the target.

    Args:
        config: Which images.
        classes: The model's label set.
        preprocessing: The model's.
        quiet: No progress on stderr.

    Raises:
        LabelError: The target names its classes, and none of them is the model's.
        DataError: There are fewer than two images, or none can be read.
        LayoutError: The folder does not have the layout of the reader.
    """
    reader = _reader(config)
    if reader is None:
        assert config.root is not None
        split = report = _bare_folder(Path(config.root).expanduser())
    else:
        names = tuple(reader.splits)
        split = reader.load(config.split or ("train" if "train" in names else names[0]))
        report = reader.load(config.report_split) if config.report_split else split
    mapping = None
    if reader is not None and config.labeled:
        mapping = _mapping(split.classes, classes)
    if config.limit is not None and config.limit < len(split):
        chosen = split.subset(i * len(split) // config.limit for i in range(config.limit))
        report, split = (chosen if report is split else report), chosen

    def decoded(part: FaceSplit) -> FaceTensors:
        tensors = FaceTensors(
            unlabeled(part, classes),
            preprocessing.image_size,
            interpolation=preprocessing.interpolation,
            memory=config.memory,
            workers=config.workers,
            quiet=quiet,
        )
        tensors.read_all(quiet=quiet)
        return tensors

    images = decoded(split)
    if len(images.usable) < _LEAST:
        raise DataError(
            "too few target images to adapt to: one image does not show a domain",
            expected=f"at least {_LEAST} that can be read, better hundreds",
            found=len(images.usable),
            where=f"{split.dataset} {split.split}",
            hint="To read single images, use ke2nt predict.",
        )
    shown = images if report is split else decoded(report)
    return Target(images, shown, mapping, None if mapping is None else report)


def _reader(config: TargetConfig) -> Reader | None:
    """The target's reader; None for a folder of images that no class folders sort."""
    if config.name == "folder" and config.root is not None:
        root = Path(config.root).expanduser()
        sorted_ = config.labeled and find_class_folders(root) and not any(images_of(root))
        if not sorted_ and any(is_image_name(path) for path in root.rglob("*")):
            return None
    return get_reader(config.name, config.root, config.options)


def _bare_folder(root: Path) -> FaceSplit:
    """All images below a folder, in the order of their names."""
    paths = sorted(p for p in root.rglob("*") if is_image_name(p) and p.is_file())
    samples = tuple(FaceSample(p.relative_to(root).as_posix(), p, UNKNOWN) for p in paths)
    return FaceSplit("folder", "all", (), samples)


def _mapping(found: tuple[str, ...], classes: tuple[str, ...]) -> LabelMapping:
    try:
        return map_labels(found, classes, policy="drop")
    except LabelError as error:
        raise LabelError(
            "target and model share no class",
            expected=f"some of {', '.join(classes)}",
            found=", ".join(found),
            hint="If these names are no expressions but, say, people, set target.labeled=false.",
        ) from error


class TargetStream:
    """An endless stream of target batches; each is a function of the seed and its number.

    Every image once in random order, then again in another one.

    Args:
        images: The images.
        batch_size: Images of a batch; fewer where there are fewer.
        seed: Names the order.
    """

    def __init__(self, images: FaceTensors, batch_size: int, seed: int) -> None:
        self.images = images
        self.positions = images.usable.clone()
        size = min(batch_size, len(self.positions))
        self.batch_size = max(size - size % world_size(), world_size())
        self._seed = seed
        self._order: tuple[int, torch.Tensor] = (-1, self.positions)

    def indices(self, step: int) -> torch.Tensor:
        """int64 (B,): positions of batch number `step` in the split."""
        count = len(self.positions)
        places = range(step * self.batch_size, (step + 1) * self.batch_size)
        return torch.stack([self._pass(place // count)[place % count] for place in places])

    def batch(self, step: int, share: slice = slice(None)) -> Batch:
        """Batch number `step`, or some rows of it.

        Raises:
            DataError: An image has become unreadable since the run began.
        """
        wanted = self.indices(step)[share]
        for found in self.images.batches(len(wanted), order=wanted, workers=0):
            if len(found.pixels) == len(wanted):
                return found
        raise DataError(
            "a target image has become unreadable during the run",
            found="; ".join(f"{name}: {why}" for name, why in self.images.failed.items()),
            hint="Put it back and resume, or start a new run.",
        )

    def _pass(self, number: int) -> torch.Tensor:
        if self._order[0] != number:
            generator = torch_generator(self._seed, "target order", number)
            order = self.positions[torch.randperm(len(self.positions), generator=generator)]
            self._order = (number, order)
        return self._order[1]
