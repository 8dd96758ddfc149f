"""How the context of prompts is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ke2nt.errors import ConfigError

__all__ = ["DEFAULT_CONTEXT", "ContextOptions", "Position"]

Position = Literal["end", "middle", "front"]

DEFAULT_CONTEXT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextOptions:
    """Settings of CoOp (Zhou et al., IJCV 2022) with the regularization of KgCoOp (Yao, CVPR 2023).

    Attributes:
        context: Number M of vectors; None for as many as `init` has tokens, or else 16.
        position: Where the class word stands: at the "end", in the "middle" or at the "front".
        class_specific: Whether each class has vectors of its own.
        init: Words whose token embeddings the vectors start from; None for small random numbers.
        regularize: λ ≥ 0, weight of the mean squared distance between the unit class embeddings of
            the learned and of the written prompts. KgCoOp's value is 8.
        epochs: Passes over the images.
        lr: Peak learning rate of SGD; it falls to zero as half a cosine.
        batch_size: Images in a step.
        seed: Seed of random vectors and of the order of the images.

    Raises:
        ConfigError: A value is out of range.
    """

    context: int | None = None
    position: Position = "end"
    class_specific: bool = False
    init: str | None = None
    regularize: float = 0.0
    epochs: int = 50
    lr: float = 0.002
    batch_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        # whole numbers, then the others
        limits = {"context": self.context, "epochs": self.epochs, "batch_size": self.batch_size}
        for name, value in limits.items():
            if value is not None and value < 1:
                raise ConfigError(f"{name} is out of range", expected="at least 1", found=value)

        if not 0 <= self.regularize < float("inf"):
            raise ConfigError(
                "regularize is out of range", expected="0 or more", found=self.regularize
            )
        if not 0 < self.lr < float("inf"):
            raise ConfigError("lr is out of range", expected="above 0", found=self.lr)

        # texts
        if self.position not in get_args(Position):
            raise ConfigError(
                "unknown position of the class word",
                expected=f"one of {', '.join(get_args(Position))}",
                found=self.position,
            )
        if self.init is not None and not self.init.strip():
            raise ConfigError("init is empty", expected='words such as "a photo of a"')
