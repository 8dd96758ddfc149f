"""Synthetic faces among the training images: from a folder, or from a frozen generator."""

from __future__ import annotations

from dataclasses import replace

import torch

from ke2nt.config.schema import ExtraConfig
from ke2nt.data.sample import FaceSample
from ke2nt.datasets.catalog import get_reader
from ke2nt.errors import LabelError
from ke2nt.runtime.seeding import derive_seed

__all__ = ["extra_samples", "with_extra"]


def extra_samples(
    config: ExtraConfig | None, classes: tuple[str, ...], seed: int
) -> tuple[FaceSample, ...]:
    """All synthetic faces that a configuration adds, as samples of a split with these classes.

    Raises:
        LabelError: They have a class that the split does not have.
        Ke2ntError: Folder or generator cannot be read.
    """
    if config is None:
        return ()
    if config.folder is not None:
        reader = get_reader("folder", config.folder)
        name = "train" if "train" in reader.splits else reader.splits[0]
        found = reader.load(name)
        _check(found.classes, classes, config.folder)
        labels = [classes.index(c) for c in found.classes]
        return tuple(
            replace(s, name=f"extra/{s.name}", label=labels[s.label]) for s in found.samples
        )
    from ke2nt.generation.networks.generator import FaceGenerator
    from ke2nt.generation.networks.sample_faces import generate_samples

    generator = FaceGenerator.load(str(config.generator))
    _check(generator.classes, classes, config.generator)
    return tuple(generate_samples(generator, config.count, derive_seed(seed, "extra"), classes))


def _check(found: tuple[str, ...], classes: tuple[str, ...], where: object) -> None:
    unknown = [name for name in found if name not in classes]
    if unknown:
        raise LabelError(
            f"synthetic faces show {unknown[0]!r}, which is not learned",
            expected=f"only {', '.join(classes)}",
            where=where,
        )


def with_extra(
    order: torch.Tensor, pool: torch.Tensor, count: int, generator: torch.Generator
) -> torch.Tensor:
    """An epoch's order with some images of a pool mixed in.

    Args:
        order: (N,) positions of real images.
        pool: (P,) positions of synthetic ones.
        count: How many are taken; each is taken as often as the next one, give or take once.
        generator: CPU generator.
    """
    if not count:
        return order
    rounds = -(-count // len(pool))
    drawn = torch.cat([torch.randperm(len(pool), generator=generator) for _ in range(rounds)])
    both = torch.cat([order, pool[drawn[:count]]])
    return both[torch.randperm(len(both), generator=generator)]
