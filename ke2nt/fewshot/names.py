"""Methods, shots and seeds as they are typed; read without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ke2nt.errors import ConfigError
from ke2nt.runtime.suggest import did_you_mean

__all__ = [
    "ALL",
    "METHOD_NAMES",
    "ZERO_SHOT",
    "Shots",
    "check_methods",
    "check_seeds",
    "check_shots",
    "read_seeds",
    "read_shots",
]

ALL: Literal["all"] = "all"
ZERO_SHOT = "zero-shot"
METHOD_NAMES = (
    ZERO_SHOT,
    "linear-probe",
    "tip-adapter",
    "tip-adapter-f",
    "clip-adapter",
    "coop",
    "ke2nt-adapter",
)

Shots = int | Literal["all"]
"""Images of each class, or "all" of the training images."""


def check_methods(names: Sequence[str]) -> tuple[str, ...]:
    """Return the methods in the order of `METHOD_NAMES`.

    Raises:
        ConfigError: There are none, or one is unknown or named twice.
    """
    for name in names:
        if name not in METHOD_NAMES:
            raise ConfigError(
                f"unknown few-shot method {name!r}",
                expected=f"some of {', '.join(METHOD_NAMES)}",
                hint=did_you_mean(name, METHOD_NAMES),
            )
    _check_distinct("method", names)
    return tuple(name for name in METHOD_NAMES if name in names)


def read_shots(text: str) -> tuple[Shots, ...]:
    """Read numbers of shots such as "1,2,4,all".

    Raises:
        ConfigError: The text has another form.
    """
    parts = [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if not (part == ALL or _is_count(part))]
    if wrong:
        raise ConfigError(
            "--shots is not valid",
            expected="positive whole numbers and all, separated by commas, such as 1,2,4,8,16,all",
            found=repr(wrong[0]),
        )
    return check_shots([ALL if part == ALL else int(part) for part in parts])


def check_shots(shots: Sequence[Shots]) -> tuple[Shots, ...]:
    """Return numbers of shots in ascending order, "all" last.

    Raises:
        ConfigError: There are none, or one is not positive or named twice.
    """
    for count in shots:
        if count != ALL and (type(count) is not int or count < 1):
            raise ConfigError(
                "a number of shots is not valid",
                expected="a positive whole number, or all",
                found=repr(count),
            )
    _check_distinct("number of shots", shots)
    numbers = sorted(count for count in shots if count != ALL)
    return (*numbers, *([ALL] if ALL in shots else []))


def read_seeds(text: str) -> tuple[int, ...]:
    """Read seeds such as "1,2,3".

    Raises:
        ConfigError: The text has another form.
    """
    parts = [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if not part.isascii() or not part.isdecimal()]
    if wrong:
        raise ConfigError(
            "--seeds is not valid",
            expected="whole numbers of 0 or more, separated by commas, such as 1,2,3",
            found=repr(wrong[0]),
        )
    return check_seeds([int(part) for part in parts])


def check_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """Return the seeds.

    Raises:
        ConfigError: There are none, or one is negative or named twice.
    """
    for seed in seeds:
        if type(seed) is not int or seed < 0:
            raise ConfigError("a seed is not valid", expected="0 or more", found=repr(seed))
    _check_distinct("seed", seeds)
    return tuple(seeds)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) > 0


def _check_distinct(what: str, values: Sequence[object]) -> None:
    if not values:
        raise ConfigError(f"no {what} is named", expected="one or more")
    for value in values:
        if list(values).count(value) > 1:
            raise ConfigError(f"a {what} is named twice", found=value)
