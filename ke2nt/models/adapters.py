"""Small modules behind a frozen image tower, fitted on few images.

An adapter takes embeddings of unit norm. It changes them (`ClipAdapter`, `NeutralAdapter`), adds to
the logits of the text (`TipAdapter`) or replaces these (`LinearProbe`). A new one is a class and a
line in `ADAPTERS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ke2nt.errors import CheckpointError, ModelError
from ke2nt.models.output import KE2NTOutput
from ke2nt.models.transformation import TransformationNetwork
from ke2nt.runtime.l2_normalize import l2_normalize
from ke2nt.runtime.suggest import did_you_mean

__all__ = [
    "ADAPTERS",
    "Adapter",
    "ClipAdapter",
    "LinearProbe",
    "NeutralAdapter",
    "TipAdapter",
    "build_adapter",
]


class Adapter(nn.Module):
    """Base of the adapters; as it is, it classifies by the text alone.

    Attributes:
        kind: Name in saved models.
    """

    kind: ClassVar[str]

    @property
    def options(self) -> dict[str, Any]:
        """Plain JSON value from which `build_adapter` builds the same module."""
        return {"kind": self.kind}

    def use_classes(self, classes: Sequence[str]) -> None:
        """Prepare for the classes of a text bank, in its order.

        Raises:
            ModelError: The adapter cannot recognize one of them.
        """

    def embed(self, unit: Tensor) -> Tensor:
        """Adapt embeddings of unit norm (B, D) → (B, D)."""
        return unit

    def neutral(self, embeddings: Tensor) -> Tensor | None:
        """Neutral embeddings (B, D) of adapted embeddings; None leaves them to the model."""
        return None

    def add_evidence(self, unit: Tensor, logits: Tensor) -> Tensor:
        """Change the logits (B, K) that the text gives for embeddings (B, D)."""
        return logits

    def forward(self, unit: Tensor, text: Tensor, scale: Tensor | float) -> KE2NTOutput:
        """Compute logits, adapted embeddings, and neutral ones if the adapter has them.

        Args:
            unit: (B, D) image embeddings of unit norm.
            text: (K, D) text embeddings of unit norm.
            scale: Factor on cosines.
        """
        embeddings = self.embed(unit)
        logits = scale * (l2_normalize(embeddings) @ text.T)
        return KE2NTOutput(self.add_evidence(unit, logits), embeddings, self.neutral(embeddings))


class ClipAdapter(Adapter):
    """f* = a · ReLU(f W_1) W_2 + (1 − a) f, the visual adapter of https://arxiv.org/abs/2110.04544.

    Args:
        dim: D.
        ratio: a in [0, 1].
        reduction: The hidden width is D / reduction; 4 as published.

    Raises:
        ModelError: An argument is out of range.
    """

    kind = "clip-adapter"

    def __init__(self, dim: int, ratio: float = 0.2, reduction: int = 4) -> None:
        super().__init__()
        _check_share("ratio", ratio)
        self.ratio, self.reduction = ratio, reduction
        self.down = nn.Linear(dim, _hidden_width(dim, reduction), bias=False)
        self.up = nn.Linear(self.down.out_features, dim, bias=False)

    @property
    def options(self) -> dict[str, Any]:
        """Kind, ratio and reduction."""
        return {**super().options, "ratio": self.ratio, "reduction": self.reduction}

    def embed(self, unit: Tensor) -> Tensor:
        """Mix the adapted embeddings with the frozen ones."""
        return self.ratio * self.up(self.down(unit).relu()) + (1 - self.ratio) * unit


class NeutralAdapter(Adapter):
    """KE2NT on frozen embeddings: f_e = f + a · R(f), f_n = M(f_e).

    R and M are Linear → ReLU → Linear as the transformation network of KE2NT. R starts at zero, so
    that the first logits are those of the text.

    Args:
        dim: D.
        ratio: a in [0, 1].
        reduction: The hidden width of R and M is D / reduction.

    Raises:
        ModelError: An argument is out of range.
    """

    kind = "ke2nt-adapter"

    def __init__(self, dim: int, ratio: float = 0.5, reduction: int = 4) -> None:
        super().__init__()
        _check_share("ratio", ratio)
        self.ratio, self.reduction = ratio, reduction
        self.residual = TransformationNetwork(dim, reduction)
        self.transformation = TransformationNetwork(dim, reduction)
        nn.init.zeros_(self.residual.up.weight)
        nn.init.zeros_(self.residual.up.bias)

    @property
    def options(self) -> dict[str, Any]:
        """Kind, ratio and reduction."""
        return {**super().options, "ratio": self.ratio, "reduction": self.reduction}

    def embed(self, unit: Tensor) -> Tensor:
        """Add the residual to the frozen embeddings."""
        return unit + self.ratio * self.residual(unit)

    def neutral(self, embeddings: Tensor) -> Tensor:
        """f_n of the same faces."""
        return self.transformation(embeddings)


class _FixedClasses(Adapter):
    """Base of adapters that learned some classes and no others.

    Args:
        classes: Names of the K classes, in index order.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self._columns = list(range(len(self.classes)))

    @property
    def options(self) -> dict[str, Any]:
        """Kind and classes."""
        return {**super().options, "classes": list(self.classes)}

    def use_classes(self, classes: Sequence[str]) -> None:
        """Choose some of the learned classes, in any order."""
        unknown = [name for name in classes if name not in self.classes]
        if unknown:
            raise ModelError(
                f"the {self.kind} of the model was fitted on images and knows no other classes",
                expected=f"some of {', '.join(self.classes)}",
                found=", ".join(unknown),
                hint="Fit a clip-adapter or ke2nt-adapter to recognize any words.",
            )
        self._columns = [self.classes.index(name) for name in classes]

    def choose(self, scores: Tensor) -> Tensor:
        """Columns of the chosen classes of (B, K) scores."""
        is_whole = self._columns == list(range(len(self.classes)))
        return scores if is_whole else scores[:, self._columns]


class LinearProbe(_FixedClasses):
    """Logits W f + b of a logistic regression; the text is not used.

    Args:
        dim: D.
        classes: Names of the K classes, in index order.
    """

    kind = "linear-probe"

    def __init__(self, dim: int, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.weight = nn.Parameter(torch.zeros(len(self.classes), dim))
        self.bias = nn.Parameter(torch.zeros(len(self.classes)))

    def add_evidence(self, unit: Tensor, logits: Tensor) -> Tensor:
        """Replace the logits of the text."""
        return self.choose(nn.functional.linear(unit, self.weight, self.bias))


class TipAdapter(_FixedClasses):
    """logits = s f Wᵀ + α exp(−β (1 − f Fᵀ)) L, the cache of https://arxiv.org/abs/2207.09519.

    Args:
        dim: D.
        classes: Names of the K classes, in index order.
        entries: M, number of keys.
        alpha: α ≥ 0, weight of the cache.
        beta: β ≥ 0, sharpness of the similarities.

    Attributes:
        keys: (M, D) training embeddings F; learned by Tip-Adapter-F.
        values: (M, K) their labels L, one-hot.

    Raises:
        ModelError: An argument is out of range.
    """

    kind = "tip-adapter"
    values: Tensor

    def __init__(
        self,
        dim: int,
        classes: Sequence[str],
        entries: int,
        alpha: float = 1.0,
        beta: float = 5.5,
    ) -> None:
        super().__init__(classes)
        if entries < 1 or alpha < 0 or beta < 0:
            raise ModelError(
                "the cache of a tip-adapter is not valid",
                expected="1 entry or more, alpha and beta of 0 or more",
                found=f"{entries} entries, alpha {alpha}, beta {beta}",
            )
        self.alpha, self.beta = alpha, beta
        self.keys = nn.Parameter(torch.zeros(entries, dim))
        self.register_buffer("values", torch.zeros(entries, len(self.classes)))

    @classmethod
    def from_features(cls, keys: Tensor, labels: Tensor, classes: Sequence[str]) -> Self:
        """Fill a cache with training embeddings (M, D) of unit norm and their labels (M,)."""
        adapter = cls(keys.shape[1], classes, len(keys))
        with torch.no_grad():
            adapter.keys.copy_(keys)
            adapter.values.copy_(nn.functional.one_hot(labels, len(adapter.classes)))
        return adapter

    @property
    def options(self) -> dict[str, Any]:
        """Kind, classes, size of the cache, α and β."""
        cache = {"entries": len(self.keys), "alpha": self.alpha, "beta": self.beta}
        return {**super().options, **cache}

    def similarities(self, unit: Tensor) -> Tensor:
        """f Fᵀ, (B, M)."""
        return unit @ self.keys.T

    def add_evidence(self, unit: Tensor, logits: Tensor) -> Tensor:
        """Add what the cache says."""
        affinity = torch.exp(-self.beta * (1 - self.similarities(unit)))
        return logits + self.alpha * self.choose(affinity @ self.values)


ADAPTERS: Mapping[str, type[Adapter]] = {
    each.kind: each for each in (LinearProbe, TipAdapter, ClipAdapter, NeutralAdapter)
}


def build_adapter(options: Mapping[str, Any], dim: int) -> Adapter:
    """Build an adapter with initial weights.

    Args:
        options: An adapter's `options`.
        dim: D, width of the embeddings.

    Raises:
        ModelError: The kind is unknown, or an option is out of range.
        CheckpointError: An option is missing or unknown.
    """
    arguments = dict(options)
    kind = arguments.pop("kind", None)
    if kind not in ADAPTERS:
        raise ModelError(
            f"unknown adapter {kind!r}",
            expected=f"one of {', '.join(ADAPTERS)}",
            hint=did_you_mean(str(kind), ADAPTERS),
        )
    try:
        return ADAPTERS[kind](dim, **arguments)
    except TypeError as error:
        raise CheckpointError("the options of an adapter are not valid", found=error) from error


def _hidden_width(dim: int, reduction: int) -> int:
    if not 1 <= reduction <= dim:
        raise ModelError("reduction is out of range", expected=f"1 to {dim}", found=reduction)
    return dim // reduction


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ModelError(f"{name} is out of range", expected="0 to 1", found=value)
