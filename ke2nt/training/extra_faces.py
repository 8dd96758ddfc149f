"""Synthetic faces among the training images: from a folder, or from a frozen generator."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ke2nt.config.schema import ExtraConfig
from ke2nt.data.sample import FaceSample
from ke2nt.datasets.catalog import get_reader
from ke2nt.errors import LabelError
from ke2nt.runtime.seeding import derive_seed

__all__ = ["load_extra_samples", "mix_in_extra"]


def load_extra_samples(
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

    # Heavy, and few runs need it.
    from ke2nt.generation.networks.generator import FaceGenerator
    from ke2nt.generation.networks.sample_faces import generate_samples

    generator = FaceGenerator.load(str(config.generator))
    _check_classes(generator.classes, classes, config.generator)
    samples = generate_samples(generator, config.count, derive_seed(seed, "extra"), classes)
    return tuple(samples)


def mix_in_extra(order: Tensor, pool: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Mix images of a pool into an epoch's order.

    Args:
        order: (N,) positions of real images.
        pool: (P,) positions of synthetic ones.
        count: How many synthetic images to take; how often each is taken differs by at most one.
        generator: CPU generator.
    """
    if not count:
        return order

    # Every round takes each image once.
    rounds = -(-count // len(pool))
    drawn = torch.cat([torch.randperm(len(pool), generator=generator) for _ in range(rounds)])
    mixed = torch.cat([order, pool[drawn[:count]]])
    return mixed[torch.randperm(len(mixed), generator=generator)]


def _load_from_folder(folder: str, classes: tuple[str, ...]) -> tuple[FaceSample, ...]:
    reader = get_reader("folder", folder)
    split = reader.load("train" if "train" in reader.splits else reader.splits[0])
    _check_classes(split.classes, classes, folder)

    # The folder may have fewer classes, in another order.
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
