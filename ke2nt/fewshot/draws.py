"""Which images a method learns from and which it is tuned on, for each number of shots and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ke2nt.data.sample import FaceSplit
from ke2nt.data.splits import carve_validation, draw_shots
from ke2nt.errors import DataError
from ke2nt.fewshot.names import ALL, Shots

__all__ = ["MAX_VALIDATION_SHOTS", "Draw", "Pools", "choose_pools", "draw_all"]

MAX_VALIDATION_SHOTS = 4
_CARVED = 0.1  # share of the training images that hyperparameters are chosen on


@dataclass(frozen=True)
class Pools:
    """Images to draw from; none of them is in the evaluated split.

    Attributes:
        train: Images to learn from.
        validation: Images to choose hyperparameters on.
        rule: Where the validation images come from, in words.
    """

    train: FaceSplit
    validation: FaceSplit
    rule: str


@dataclass(frozen=True)
class Draw:
    """The images of one number of shots and one seed.

    Attributes:
        shots: Images of each class, or "all".
        seed: Seed of the draw.
        train: Images to learn from.
        validation: Images to choose hyperparameters on.
    """

    shots: Shots
    seed: int
    train: FaceSplit
    validation: FaceSplit

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return {
            "shots": self.shots,
            "seed": self.seed,
            "train": [sample.name for sample in self.train.samples],
            "validation": [sample.name for sample in self.validation.samples],
        }


def choose_pools(train: FaceSplit, validation: FaceSplit | None, evaluated: FaceSplit) -> Pools:
    """Choose the images to draw from.

    Args:
        train: The training split.
        validation: A split for hyperparameters; None to carve a part of the training split.
        evaluated: The split that methods are judged on.

    Raises:
        DataError: A split is used twice, or a class of the training split is too small to divide.
    """
    for part in (train, validation):
        if part is not None and (part.dataset, part.split) == (evaluated.dataset, evaluated.split):
            raise DataError(
                "methods would be judged on images that they are fitted or tuned on",
                found=f"split {part.split} twice",
                hint="Name different splits.",
            )
    if validation is not None:
        rule = f"validation images: split {validation.split} of {validation.dataset}"
        return Pools(train, validation, rule)

    carved_train, carved = carve_validation(train, _CARVED, 0)
    share = f"{100 * _CARVED:.0f} % of split {train.split}"
    rule = f"validation images: {share} of {train.dataset}, from which no shots are drawn"
    return Pools(carved_train, carved, rule)


def draw_all(pools: Pools, shots: Sequence[Shots], seeds: Sequence[int]) -> list[Draw]:
    """Draw the images of every number of shots and seed.

    K shots are tuned on min(K, 4) validation images of each class, or as many as a class has. "all"
    takes all training images, which no seed changes, and all validation images.

    Raises:
        DataError: A class has fewer training images than shots.
    """
    draws = []
    for count in shots:
        if count == ALL:
            _check_every_class(pools.train)
        for seed in seeds:
            if count == ALL:
                draws.append(Draw(ALL, seed, pools.train, pools.validation))
                continue
            most = min(count, MAX_VALIDATION_SHOTS)
            draws.append(
                Draw(
                    count,
                    seed,
                    draw_shots(pools.train, count, seed),
                    draw_shots(pools.validation, most, seed, fewer=True),
                )
            )
    return draws


def _check_every_class(train: FaceSplit) -> None:
    """Raise DataError unless every class has an image."""
    shown = {sample.label for sample in train.samples}
    absent = [name for k, name in enumerate(train.classes) if k not in shown]
    if absent:
        raise DataError(
            f"no training image of {', '.join(absent)}",
            where=f"{train.dataset} {train.split}",
            expected="an image of each class",
            hint="Hold these classes out.",
        )
