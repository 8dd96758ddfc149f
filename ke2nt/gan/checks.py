"""Whether a dataset can teach a generator: every class has images, all are grey or none is."""

from __future__ import annotations

import torch

from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import DataError, TrainingError
from ke2nt.runtime.distributed import world_size
from ke2nt.synthesis.generator import FaceGenerator

__all__ = ["check_classes", "check_colours", "check_fits", "check_one_process"]


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


def check_colours(images: FaceTensors, channels: int) -> None:
    """Make sure that grey and coloured images are not mixed where RGB faces are to be made.

    Raises:
        DataError: RGB faces are to be made, and some or all images are grey.
    """
    if channels == 1:
        return
    grey = total = 0
    for batch in images.batches(256):
        pixels = batch.pixels
        same = (pixels == pixels[:, :1]).flatten(1).all(dim=1)
        grey, total = grey + int(same.sum()), total + len(pixels)
    if grey:
        split = images.split
        raise DataError(
            "grey images among those that RGB faces are to be learned from",
            where=f"{split.dataset} {split.split}",
            found=f"{grey} of {total} images are grey",
            hint="Add model.grey=true to make grey faces, or leave the grey images out.",
        )


def check_fits(generator: FaceGenerator, classes: tuple[str, ...], channels: int) -> None:
    """Make sure that a generator makes what a recogniser is to learn.

    Raises:
        DataError: A generator makes other expressions or colours than a recogniser is to learn.
    """
    if generator.classes != classes:
        raise DataError(
            "the generator makes other expressions than the recogniser learns",
            expected=", ".join(classes),
            found=", ".join(generator.classes),
        )
    if generator.channels < channels:
        raise DataError(
            "the generator makes grey faces, and the recogniser looks at colour",
            hint="Add model.grey=true.",
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
