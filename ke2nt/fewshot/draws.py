"""Which images a method learns from and which it is tuned on, for each number of shots and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ke2nt.data.sample import FaceSplit
from ke2nt.data.splits import carve_validation, draw_shots
from ke2nt.errors import DataError
from ke2nt.fewshot.names import ALL, Shots

__all__ = [
    "MAX_VALIDATION_SHOTS",
    "Draw",
    "Pools",
    "check_distinct_splits",
    "choose_pools",
    "draw_all",
]

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
    splits = [part for part in (train, validation, evaluated) if part is not None]
    check_distinct_splits(*(f"{part.split} of {part.dataset}" for part in splits))
    if validation is not None:
        rule = f"validation images: split {validation.split} of {validation.dataset}"
        return Pools(train, validation, rule)

    carved_train, carved = carve_validation(train, _CARVED, 0)
    share = f"{100 * _CARVED:.0f} % of split {train.split}"
    rule = f"validation images: {share} of {train.dataset}, from which no shots are drawn"
    return Pools(carved_train, carved, rule)


def check_distinct_splits(*names: str | None) -> None:
    """Check that the splits to learn from, to tune on and to judge on are different ones.

    Raises:
        DataError: Two are the same.
    """
    used = [name for name in names if name is not None]
    twice = [name for name in used if used.count(name) > 1]
    if twice:
        raise DataError(
            "methods must be fitted, tuned and judged on different images",
            found=f"split {twice[0]} twice",
            hint="Name different splits with --train-split, --val-split and --split.",
        )


def draw_all(pools: Pools, shots: Sequence[Shots], seeds: Sequence[int]) -> list[Draw]:
    """Draw the images of every number of shots and seed.

    K shots are tuned on min(K, 4) validation images of each class, or as many as a class has. "all"
    takes all training images, which no seed changes, and all validation images.

    Raises:
        DataError: A class has fewer training images than shots.
    """
    if ALL in shots:
        _check_every_class(pools.train)
    return [_draw(pools, count, seed) for count in shots for seed in seeds]


def _draw(pools: Pools, shots: Shots, seed: int) -> Draw:
    """The images of one number of shots and one seed."""
    if shots == ALL:
        return Draw(ALL, seed, pools.train, pools.validation)
    most = min(shots, MAX_VALIDATION_SHOTS)
    train = draw_shots(pools.train, shots, seed)
    return Draw(shots, seed, train, draw_shots(pools.validation, most, seed, fewer=True))


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
