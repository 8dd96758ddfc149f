"""Checks of data and generator before a GAN is trained."""

from __future__ import annotations

import torch

from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import DataError, TrainingError
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.runtime.distributed import world_size
from ke2nt.training.compute import EVAL_BATCH_SIZE

__all__ = ["check_class_counts", "check_colors", "check_generator_fits", "check_single_process"]


def check_class_counts(images: FaceTensors, min_images: int) -> None:
    """Check that every class has enough images.

    Raises:
        DataError: A class has fewer than `min_images` readable images.
    """
    # unreadable images do not count
    split = images.split
    labels = torch.from_numpy(split.labels())[images.usable]
    counts = torch.bincount(labels, minlength=len(split.classes)).tolist()

    # name every class that is affected, not only the first
    too_few = [
        f"{name} has {count}"
        for name, count in zip(split.classes, counts, strict=True)
        if count < min_images
    ]
    if too_few:
        raise DataError(
            "too few images of some classes to train a generator",
            where=f"{split.dataset} {split.split}",
            expected=f"at least {min_images} of each class",
            found=", ".join(too_few),
            hint="Leave classes out with data.hold_out=[NAME], use more labels (data.fraction), "
            "or lower gan.min_images to 1.",
        )


def check_colors(images: FaceTensors, channels: int) -> None:
    """Check that a generator of RGB faces is trained on color images only.

    Raises:
        DataError: Some or all images are gray.
    """
    if channels == 1:
        return

    # an image is gray if its three channels are equal
    gray = total = 0
    for batch in images.batches(EVAL_BATCH_SIZE):
        same = (batch.pixels == batch.pixels[:, :1]).flatten(1).all(dim=1)
        gray, total = gray + int(same.sum()), total + len(batch.pixels)

    if gray:
        split = images.split
        raise DataError(
            "a generator of RGB faces cannot be trained on gray images",
            where=f"{split.dataset} {split.split}",
            found=f"{gray} of {total} images are gray",
            hint="Add model.gray=true to generate gray faces, or leave the gray images out.",
        )


def check_generator_fits(generator: FaceGenerator, classes: tuple[str, ...], channels: int) -> None:
    """Check that a generator makes the faces that a recognizer needs.

    Raises:
        DataError: Expressions or colors differ.
    """
    if generator.classes != classes:
        raise DataError(
            "generator and recognizer have different expressions",
            expected=", ".join(classes),
            found=", ".join(generator.classes),
            hint="Use a generator and a recognizer trained on the same classes.",
        )

    # RGB faces can be turned gray, not the other way round
    if generator.channels < channels:
        raise DataError(
            "the generator makes gray faces, but the recognizer uses color",
            hint="Add model.gray=true.",
        )


def check_single_process() -> None:
    """Check that no other process takes part in the run.

    Raises:
        TrainingError: Several processes were started together.
    """
    if world_size() > 1:
        raise TrainingError(
            "GAN training does not support multiple processes",
            found=f"{world_size()} processes",
            hint="Start ke2nt gan without torchrun.",
        )
