"""Answers of a model under other class shares than those it was trained with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from ke2nt.errors import ConfigError, LabelError, ModelError
from ke2nt.labels import canonical_name
from ke2nt.models.calibration import Calibration
from ke2nt.models.class_prior import ClassPrior
from ke2nt.models.prior_values import Prior, PriorLike, prior_file, read_prior
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["HasPrior", "assumed_prior", "prior_offsets", "set_prior"]


class HasPrior(Protocol):
    """What a prior changes: a model, in torch or in another engine."""

    calibration: Calibration | None
    card: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in index order."""


_ROUNDING = 1e-9  # of a log ratio
_LEAST_SHARE = 1e-6  # of a class whose share is 0: log 0 is not a number that files hold


def set_prior(model: HasPrior, prior: PriorLike) -> None:
    """Let a model's probabilities assume these class shares from now on.

    The logits are unchanged: log(q / π) is part of `model.calibration`, which every command, report
    and exported file applies after the temperature. It replaces the prior of an earlier call.

    Args:
        model: The model, with the classes that it was trained with.
        prior: See `read_prior`.

    Raises:
        ConfigError: The prior is not valid, or names other classes.
        ModelError: The model does not store the class shares that its logits carry.
    """
    value = read_prior(prior)
    stored = ClassPrior.from_card(model.card, model.classes)
    calibration = model.calibration or Calibration()
    if stored is None:
        # what any model answers with, whatever it was trained on
        if value == 1.0:
            model.calibration = replace(calibration, offsets=None, prior={})
            return
        raise ModelError(
            "the model does not store the class shares that it was trained with",
            expected="a model whose card has them: ke2nt train writes it",
            hint="ke2nt calibrate MODEL --shares-of train … adds them to a model's folder.",
        )

    target = _target_shares(value, stored, where=prior_file(prior))
    offsets = prior_offsets(target, _carried(stored, calibration))
    if max(map(abs, offsets)) < _ROUNDING:
        model.calibration = replace(calibration, offsets=None, prior={})
    else:
        model.calibration = replace(calibration, offsets=offsets, prior=target)


@contextmanager
def assumed_prior(model: HasPrior, prior: PriorLike | None) -> Iterator[None]:
    """Set a prior for a while; None changes nothing."""
    if prior is None:
        yield
        return

    calibration = model.calibration
    set_prior(model, prior)
    try:
        yield
    finally:
        model.calibration = calibration


def prior_offsets(target: Mapping[str, float], source: Mapping[str, float]) -> tuple[float, ...]:
    """Return log(q / π) of each class, which added to posteriors' logits under π gives those of q.

    Args:
        target: Class → share q ≥ 0; a share below 1e-6 counts as that.
        source: Class → share π > 0, with the same classes in index order.
    """
    return tuple(math.log(max(target[name], _LEAST_SHARE) / source[name]) for name in source)


def _carried(stored: ClassPrior, calibration: Calibration) -> Mapping[str, float]:
    """Class shares of the scaled logits, before offsets."""
    # biases have moved the posteriors to the shares of the images that they were fitted to
    shares = calibration.fitted_on.get("class_shares")
    if calibration.method == "vector" and isinstance(shares, Sequence):
        floored = [max(float(share), _LEAST_SHARE) for share in shares]
        return dict(zip(stored.data, floored, strict=True))
    return stored.logits


def _target_shares(value: Prior, stored: ClassPrior, *, where: Path | None) -> dict[str, float]:
    """Class → share in the model's order, sum 1; `where` is for messages."""
    if not isinstance(value, Mapping):
        if value == 1.0:
            return dict(stored.data)
        powers = {name: share**value for name, share in stored.data.items()}
        total = math.fsum(powers.values())
        return {name: power / total for name, power in powers.items()}

    # other spellings of the classes count, as in datasets
    classes = tuple(stored.data)
    shares = {_class_name(name, classes, where): share for name, share in value.items()}
    missing = [name for name in classes if name not in shares]
    if missing or len(shares) < len(value):
        raise ConfigError(
            "the class prior does not name each class of the model once",
            where=where,
            expected=", ".join(classes),
            found=", ".join(value),
        )
    return {name: shares[name] for name in classes}


def _class_name(name: str, classes: tuple[str, ...], where: Path | None) -> str:
    """The class of the model that a word means."""
    if name in classes:
        return name
    try:
        known = canonical_name(name)
    except LabelError:
        known = name
    if known not in classes:
        raise ConfigError(
            f"the class prior names {name!r}, which is not a class of the model",
            where=where,
            expected=", ".join(classes),
            hint=did_you_mean(name, classes),
        )
    return known
