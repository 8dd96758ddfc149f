"""The whole KE2NT objective: a weighted sum of its three losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from torch import Tensor, nn

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ConfigError
from ke2nt.losses.inputs import TransformationInputs, transformation_inputs
from ke2nt.losses.self_contrast import Pairing, SelfContrastLoss
from ke2nt.losses.similarity import SimilarityLoss
from ke2nt.losses.transformation import TransformationLoss
from ke2nt.models.output import KE2NTOutput

__all__ = ["PARTS", "KE2NTLoss"]

PARTS = ("similarity", "transformation", "self_contrast")


def _weights(weights: Mapping[str, float] | Sequence[float] | None) -> dict[str, float]:
    if weights is None:
        return dict.fromkeys(PARTS, 1.0)
    named = dict(weights if isinstance(weights, Mapping) else zip_longest(PARTS, weights))
    numbers = [v for v in named.values() if isinstance(v, (int, float)) and 0 <= v < math.inf]
    if not set(named) <= set(PARTS) or len(numbers) < len(named) or not any(numbers):
        raise ConfigError(
            "the loss weights are not valid",
            expected=f"numbers ≥ 0, not all 0, for {', '.join(PARTS)}",
            found=weights,
        )
    return {name: float(named.get(name, 0)) for name in PARTS}


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
        text_smoothing: Share of a label that it gives to classes of similar text.
        text_temperature: Temperature of those similarities.

    Raises:
        ConfigError: A weight, the pairing or a smoothing is not valid.

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
    ) -> None:
        super().__init__()
        self.weights = _weights(weights)
        losses = {
            "similarity": SimilarityLoss(
                label_smoothing, text_smoothing=text_smoothing, text_temperature=text_temperature
            ),
            "transformation": TransformationLoss(),
            "self_contrast": SelfContrastLoss(pairing),
        }
        self.losses = nn.ModuleDict({name: losses[name] for name in PARTS if self.weights[name]})

    def forward(
        self, output: KE2NTOutput, labels: Tensor, bank: TextBank | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Total and parts.

        Args:
            output: A model's output for B images.
            labels: (B,) int64 class indices, or (B, K) rows that sum to 1.
            bank: Text embeddings of the K classes; None for a linear head.

        Returns:
            The scalar to differentiate, and each computed part before weighting, detached.

        Raises:
            ModelError: Output, labels and bank do not fit together.
        """
        parts: dict[str, Tensor] = {}
        shared: TransformationInputs | None = None
        for name, loss in self.losses.items():
            if isinstance(loss, TransformationLoss | SelfContrastLoss):
                shared = shared or transformation_inputs(output, labels, bank)
                parts[name] = loss.of(shared)
            else:
                parts[name] = loss(output, labels, bank)
        first, *others = parts
        total = self.weights[first] * parts[first]
        for name in others:
            total = total.add(parts[name], alpha=self.weights[name])
        return total, {name: part.detach() for name, part in parts.items()}
