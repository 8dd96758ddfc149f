"""The KE2NT objective: a weighted sum of its three losses, and of any that a user adds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ConfigError, ModelError
from ke2nt.losses.contract import ObjectiveResult
from ke2nt.losses.inputs import SharedInputs, compute_shared_inputs
from ke2nt.losses.self_contrast import Pairing, SelfContrastLoss
from ke2nt.losses.similarity import Form, SimilarityLoss
from ke2nt.losses.transformation import TransformationLoss
from ke2nt.models.output import KE2NTOutput

__all__ = ["PARTS", "KE2NTLoss"]

PARTS = ("similarity", "transformation", "self_contrast")


class KE2NTLoss(nn.Module):
    """λ_s L_s + λ_t L_t + λ_c L_c of KE2NT (https://arxiv.org/abs/2409.08598).

    A part of weight 0 is not computed; with weights (1, 0, 0) this is the cross-entropy of any
    head, the linear one included.

    Args:
        weights: λ per part: a mapping with the keys "similarity", "transformation" and
            "self_contrast" (an absent key is 0), or three numbers in that order. None, as
            published, is 1 for each.
        pairing: Pairing of the self-contrast loss, "batch" or "paired".
        label_smoothing: Label smoothing of the similarity loss.
        text_smoothing: Share of a label that goes to classes of similar text.
        text_temperature: Temperature of those similarities.
        logit_adjustment: Share α of the log class shares that the similarity loss adds to the
            logits, see `SimilarityLoss`.
        class_shares: K class shares of the training data; needed only for a logit adjustment.
        extra: Further losses to add, each with its weight. Each is called as
            `loss(output, labels, bank)`, returns a scalar, and is named after its class in `parts`.

    Raises:
        ConfigError: A weight, the pairing or a smoothing is not valid, or two parts have one name.

    Example:
        >>> total, parts = KE2NTLoss()(model(images), labels, model.bank)
        >>> total.backward()
    """

    def __init__(
        self,
        weights: Mapping[str, float] | Sequence[float] | None = None,
        *,
        pairing: Pairing = "batch",
        label_smoothing: float = 0.0,
        text_smoothing: float = 0.0,
        text_temperature: float = 0.1,
        logit_adjustment: float = 0.0,
        class_shares: Sequence[float] | None = None,
        similarity_form: Form = "softmax",
        similarity_bias: float | None = None,
        extra: Sequence[tuple[nn.Module, float]] = (),
    ) -> None:
        super().__init__()
        # name → weight of all losses, in the order of computation
        extra_weights = _extra_weights(extra)
        self.weights = {**_part_weights(weights), **extra_weights}
        if not any(self.weights.values()):
            raise _invalid_weights(weights)

        losses: dict[str, nn.Module] = {
            "similarity": SimilarityLoss(
                label_smoothing,
                text_smoothing=text_smoothing,
                text_temperature=text_temperature,
                logit_adjustment=logit_adjustment,
                class_shares=class_shares,
                form=similarity_form,
                bias=similarity_bias,
            ),
            "transformation": TransformationLoss(),
            "self_contrast": SelfContrastLoss(pairing),
            **{type(loss).__name__: loss for loss, _ in extra},
        }

        self.losses = nn.ModuleDict(
            {name: losses[name] for name, weight in self.weights.items() if weight}
        )

    def forward(
        self, output: KE2NTOutput, labels: Tensor, bank: TextBank | None
    ) -> ObjectiveResult:
        """Compute the total and its parts for a batch.

        Args:
            output: A model's output for B images.
            labels: (B,) int64 class indices, or (B, K) rows that sum to 1.
            bank: Text embeddings of the K classes; None for a linear head.

        Returns:
            The weighted sum, and each computed part before weighting.

        Raises:
            ModelError: Output, labels and bank do not fit together, or an added loss does not
                return a scalar.
        """
        parts = self._compute_parts(output, labels, bank)

        # no sum from 0, which would add an operation to every step
        first, *others = parts
        total = self.weights[first] * parts[first]
        for name in others:
            total = total.add(parts[name], alpha=self.weights[name])
        return ObjectiveResult(total, {name: part.detach() for name, part in parts.items()})

    def _compute_parts(
        self, output: KE2NTOutput, labels: Tensor, bank: TextBank | None
    ) -> dict[str, Tensor]:
        """Each loss before weighting."""
        parts: dict[str, Tensor] = {}
        shared: SharedInputs | None = None
        for name, loss in self.losses.items():
            # L_t and L_c start from the same directions, which are computed once
            if isinstance(loss, TransformationLoss | SelfContrastLoss):
                shared = shared or compute_shared_inputs(output, labels, bank)
                parts[name] = loss.compute(shared)
            else:
                parts[name] = _check_scalar(loss(output, labels, bank), name)
        return parts


def _part_weights(weights: Mapping[str, float] | Sequence[float] | None) -> dict[str, float]:
    """Weight of each of `PARTS`."""
    if weights is None:
        return dict.fromkeys(PARTS, 1.0)
    if isinstance(weights, Mapping):
        named = dict(weights)
    elif len(weights) == len(PARTS):
        named = dict(zip(PARTS, weights, strict=True))
    else:
        raise _invalid_weights(weights)

    if not set(named) <= set(PARTS) or not all(map(_is_weight, named.values())):
        raise _invalid_weights(weights)
    return {name: float(named.get(name, 0)) for name in PARTS}


def _extra_weights(extra: Sequence[tuple[nn.Module, float]]) -> dict[str, float]:
    """Class name → weight of each added loss."""
    weights: dict[str, float] = {}
    for loss, weight in extra:
        name = type(loss).__name__
        if name in weights or name in PARTS:
            raise ConfigError(
                f"two losses of the objective are named {name}",
                expected="added losses with distinct class names",
            )
        if not _is_weight(weight):
            raise ConfigError(
                f"the weight of {name} is not valid", expected="a number ≥ 0", found=weight
            )
        weights[name] = float(weight)
    return weights


def _is_weight(value: object) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < math.inf


def _invalid_weights(weights: object) -> ConfigError:
    return ConfigError(
        "the loss weights are not valid",
        expected=f"numbers ≥ 0, not all 0, for {', '.join(PARTS)}",
        found=weights,
    )


def _check_scalar(value: object, name: str) -> Tensor:
    """The result of a loss, if it is a scalar."""
    if not isinstance(value, Tensor) or value.ndim:
        raise ModelError(
            f"the loss {name} does not return a scalar",
            expected="a tensor of shape ()",
            found=tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__,
        )
    return value
