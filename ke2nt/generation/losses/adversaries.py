"""The adversarial losses by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ke2nt.generation.losses.adversary import Adversary
from ke2nt.generation.losses.hinge import HingeAdversary
from ke2nt.generation.losses.logistic import LogisticAdversary
from ke2nt.generation.losses.wasserstein import WassersteinAdversary

__all__ = ["ADVERSARIES"]

ADVERSARIES: Mapping[str, Callable[[float], Adversary]] = {
    "wgan-gp": WassersteinAdversary,
    "hinge": HingeAdversary,
    "r1": LogisticAdversary,
}
