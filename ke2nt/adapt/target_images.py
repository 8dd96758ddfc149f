"""The target's images. Training sees them without labels; only the final report reads labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ke2nt.config.adapt import TargetConfig
from ke2nt.data.picture_formats import is_image_name
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.datasets.base import Reader
from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.class_folders import find_class_folders, list_images
from ke2nt.errors import DataError, LabelError
from ke2nt.labels import LabelMapping, map_labels

__all__ = ["UNLABELED", "TargetData", "load_target", "strip_labels"]

UNLABELED = -1
"""Label of an image whose class is unknown or not read."""

_MIN_IMAGES = 2


@dataclass(frozen=True)
class TargetData:
    """The target of a run.

    Attributes:
        images: The images to adapt to, decoded, without labels.
        report_images: The images of the final report, decoded, without labels; often the same
            object as `images`.
        mapping: From the target's classes to the model's; None for unlabeled images.
        labeled_split: The labeled split of `report_images`, not read before the final report; None
            for unlabeled images.
    """

    images: FaceTensors
    report_images: FaceTensors
    mapping: LabelMapping | None
    labeled_split: FaceSplit | None


def load_target(
    config: TargetConfig,
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    *,
    quiet: bool = True,
) -> TargetData:
    """Read and decode the target.

    Args:
        config: Which images.
        classes: The model's label set.
        preprocessing: The model's preprocessing.
        quiet: No progress on stderr.

    Raises:
        LabelError: The target's class folders share no class with the model.
        DataError: Fewer than two images can be read.
        LayoutError: The folder does not have the layout of the reader.
    """
    # class names are compared before anything is decoded
    split, report_split, has_labels = _find_splits(config)
    mapping = _map_classes(split.classes, classes) if has_labels else None

    # evenly spread indices keep the mix of classes of a sorted folder
    if config.limit is not None and config.limit < len(split):
        limited = split.subset(i * len(split) // config.limit for i in range(config.limit))
        report_split = limited if report_split is split else report_split
        split = limited

    # decode the images to adapt to
    images = _decode(split, config, classes, preprocessing, quiet=quiet)
    if len(images.usable) < _MIN_IMAGES:
        raise DataError(
            "too few target images: one image does not represent a domain",
            expected=f"at least {_MIN_IMAGES} readable images, preferably hundreds",
            found=len(images.usable),
            where=f"{split.dataset} {split.split}",
            hint="To classify single images, use ke2nt predict.",
        )

    # a report on the same images shares the decoded tensors
    report_images = images
    if report_split is not split:
        report_images = _decode(report_split, config, classes, preprocessing, quiet=quiet)
    return TargetData(images, report_images, mapping, report_split if has_labels else None)


def strip_labels(split: FaceSplit, classes: tuple[str, ...]) -> FaceSplit:
    """Copy names and images of a split; no label, vote, subject or attribute is read.

    Args:
        split: Any split.
        classes: Label set of the result, that of the model.
    """
    samples = tuple(FaceSample(s.name, s.source, UNLABELED) for s in split.samples)
    return FaceSplit(split.dataset, split.split, classes, samples)


def _find_splits(config: TargetConfig) -> tuple[FaceSplit, FaceSplit, bool]:
    """Return the split to adapt to, the split to report on, and whether their labels count."""
    reader = _find_reader(config)
    if reader is None:
        assert config.root is not None
        split = _read_unsorted_folder(Path(config.root).expanduser())
        return split, split, False

    # adapt to the training split by default, and report on the same images
    names = tuple(reader.splits)
    split = reader.load(config.split or ("train" if "train" in names else names[0]))
    report_split = reader.load(config.report_split) if config.report_split else split
    return split, report_split, config.labeled


def _decode(
    split: FaceSplit,
    config: TargetConfig,
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    *,
    quiet: bool,
) -> FaceTensors:
    tensors = FaceTensors(
        strip_labels(split, classes),
        preprocessing.image_size,
        **preprocessing.resizing(),
        memory=config.memory,
        workers=config.workers,
        quiet=quiet,
    )

    # unreadable images must be known before batches are formed
    tensors.read_all(quiet=quiet)
    return tensors


def _find_reader(config: TargetConfig) -> Reader | None:
    """Return the target's reader; None for a folder of images without class folders."""
    if config.name == "folder" and config.root is not None:
        root = Path(config.root).expanduser()
        # class folders with loose images beside them do not count as sorted
        by_class = config.labeled and find_class_folders(root) and not any(list_images(root))
        if not by_class and any(is_image_name(path) for path in root.rglob("*")):
            return None
    return get_reader(config.name, config.root, config.options)


def _read_unsorted_folder(root: Path) -> FaceSplit:
    """List all images below a folder, in the order of their names."""
    paths = sorted(p for p in root.rglob("*") if is_image_name(p) and p.is_file())
    samples = tuple(FaceSample(p.relative_to(root).as_posix(), p, UNLABELED) for p in paths)
    return FaceSplit("folder", "all", (), samples)


def _map_classes(target_classes: tuple[str, ...], classes: tuple[str, ...]) -> LabelMapping:
    try:
        return map_labels(target_classes, classes, policy="drop")
    except LabelError as error:
        raise LabelError(
            "target and model share no class",
            expected=f"at least one of {', '.join(classes)}",
            found=", ".join(target_classes),
            hint="If these folders are not expressions but, for example, people, set "
            "target.labeled=false.",
        ) from error
