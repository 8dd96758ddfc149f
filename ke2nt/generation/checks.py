"""Whether a dataset can teach a generator: every class has images, all are gray or none is."""

from __future__ import annotations

import torch

from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import DataError, TrainingError
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.runtime.distributed import world_size

__all__ = ["check_classes", "check_colors", "check_fits", "check_one_process"]


def check_classes(images: FaceTensors, fewest: int) -> None:
    """Make sure that every class has images enough.

    Raises:
        DataError: A class has fewer readable images than asked for.
    """
    split = images.split
    labels = torch.from_numpy(split.labels())[images.usable]
    counts = torch.bincount(labels, minlength=len(split.classes)).tolist()
    few = [
        f"{name} has {count}"
        for name, count in zip(split.classes, counts, strict=True)
        if count < fewest
    ]
    if few:
        raise DataError(
            "classes with too few images to learn how to make them",
            where=f"{split.dataset} {split.split}",
            expected=f"at least {fewest} of each",
            found=", ".join(few),
            hint="Leave classes out with data.hold_out=[NAME], use more labels (data.fraction), "
            "or lower gan.min_images to 1.",
        )


def check_colors(images: FaceTensors, channels: int) -> None:
    """Make sure that gray and colored images are not mixed where RGB faces are to be made.

    Raises:
        DataError: RGB faces are to be made, and some or all images are gray.
    """
    if channels == 1:
        return
    gray = total = 0
    for batch in images.batches(256):
        pixels = batch.pixels
        same = (pixels == pixels[:, :1]).flatten(1).all(dim=1)
        gray, total = gray + int(same.sum()), total + len(pixels)
    if gray:
        split = images.split
        raise DataError(
            "gray images among those that RGB faces are to be learned from",
            where=f"{split.dataset} {split.split}",
            found=f"{gray} of {total} images are gray",
            hint="Add model.gray=true to make gray faces, or leave the gray images out.",
        )


def check_fits(generator: FaceGenerator, classes: tuple[str, ...], channels: int) -> None:
    """Make sure that a generator makes what a recognizer is to learn.

    Raises:
        DataError: A generator makes other expressions or colors than a recognizer is to learn.
    """
    if generator.classes != classes:
        raise DataError(
            "the generator makes other expressions than the recognizer learns",
            expected=", ".join(classes),
            found=", ".join(generator.classes),
        )
    if generator.channels < channels:
        raise DataError(
            "the generator makes gray faces, and the recognizer looks at color",
            hint="Add model.gray=true.",
        )


def check_one_process() -> None:
    """Make sure that no other process works on the run.

    Raises:
        TrainingError: Several processes were started together.
    """
    if world_size() > 1:
        raise TrainingError(
            "synthesis is learned by one process",
            found=f"{world_size()} processes",
            hint="Start ke2nt gan without torchrun.",
        )
