"""L_s of KE2NT: cross-entropy of the image-text similarities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ConfigError, ModelError
from ke2nt.losses.inputs import class_directions
from ke2nt.losses.numerics import at_least_float32
from ke2nt.losses.pairwise_sigmoid import find_bias, pairwise_sigmoid
from ke2nt.losses.targets import check_labels, class_distribution
from ke2nt.models.output import KE2NTOutput
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["Form", "SimilarityLoss"]

Form = Literal["softmax", "sigmoid"]


class SimilarityLoss(nn.Module):
    """Cross-entropy between softmax(logits) and the labels.

    L_s of KE2NT (https://arxiv.org/abs/2409.08598); for a linear head, plain cross-entropy.

    With text smoothing ε and temperature τ, the target of class y is
    (1 − ε) e_y + ε softmax_k(cos(t_y, t_k) / τ): a mistake costs less where the texts are similar.
    Soft labels p are mixed in the same way: (1 − ε) p + ε Σ_y p_y softmax_k(cos(t_y, t_k) / τ).

    With a logit adjustment α the softmax is over z_k + α log π_k, where π are the class shares in
    training (Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, equation 10). The
    logits z then carry the prior π^(1 − α): with α = 1 all classes count alike.

    With the form "sigmoid" each pair of image and class counts for itself, as SigLIP is trained,
    see `pairwise_sigmoid`; the smoothed labels are its targets.

    Args:
        label_smoothing: Probability spread evenly over all classes, 0 (included) to 1 (excluded).
        text_smoothing: ε, 0 (included) to 1 (excluded).
        text_temperature: τ > 0.
        logit_adjustment: α ≥ 0.
        class_shares: π, K values above 0; needed only for a logit adjustment.
        form: "softmax" or "sigmoid".
        bias: Added to all logits by the form "sigmoid"; None for that of the text encoder. A bias
            that the model learns takes its place.

    Raises:
        ConfigError: An argument is out of range, there are no class shares to adjust by, or they
            are meant for the form "sigmoid".

    Example:
        >>> loss = SimilarityLoss()(model(images), labels, model.bank)
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        *,
        text_smoothing: float = 0.0,
        text_temperature: float = 0.1,
        logit_adjustment: float = 0.0,
        class_shares: Sequence[float] | None = None,
        form: Form = "softmax",
        bias: float | None = None,
    ) -> None:
        super().__init__()
        for name, share in (("label", label_smoothing), ("text", text_smoothing)):
            if not 0 <= share < 1:
                raise ConfigError(
                    f"{name}_smoothing is out of range", expected="0 to below 1", found=share
                )
        if not 0 < text_temperature < math.inf:
            raise ConfigError(
                "text_temperature is out of range", expected="above 0", found=text_temperature
            )
        if form not in get_args(Form):
            raise ConfigError(
                "unknown form of the similarity loss",
                expected=" or ".join(get_args(Form)),
                found=form,
                hint=did_you_mean(str(form), get_args(Form)),
            )
        if form == "sigmoid" and logit_adjustment:
            raise ConfigError(
                "a logit adjustment belongs to the softmax over the classes",
                expected="loss.similarity_form=softmax, or loss.logit_adjustment=0",
            )
        self.form, self.bias = form, bias
        self.label_smoothing = label_smoothing
        self.text_smoothing = text_smoothing
        self.text_temperature = text_temperature

        # (K,) α log π, moved with the loss but no part of a checkpoint
        offsets = _logit_offsets(logit_adjustment, class_shares)
        self.offsets: Tensor | None
        self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, output: KE2NTOutput, labels: Tensor, bank: TextBank | None = None) -> Tensor:
        """Compute the mean cross-entropy of a batch.

        Args:
            output: A model's output; only its logits (B, K) and its bias are used.
            labels: (B,) int64 class indices, or (B, K) rows that sum to 1.
            bank: Text embeddings of the K classes; needed only for text smoothing, and for the
                bias of the text encoder.

        Returns:
            Scalar ≥ 0, float32 or float64.

        Raises:
            ModelError: Labels or class shares do not fit the logits, or there is no bank to smooth
                by.
            ConfigError: The form "sigmoid" has no bias.
        """
        logits = at_least_float32(output.logits)
        check_labels(labels, *logits.shape)

        if self.offsets is not None:
            if len(self.offsets) != logits.shape[1]:
                raise ModelError(
                    "the class shares of the logit adjustment do not fit the logits",
                    expected=f"{logits.shape[1]} classes",
                    found=len(self.offsets),
                )
            logits = logits + self.offsets.to(logits.dtype)
        target = labels.to(logits.dtype) if labels.is_floating_point() else labels
        if self.text_smoothing:
            target = self._smooth_by_text(target, bank, logits)
        if self.form == "sigmoid":
            shares = class_distribution(target, logits.shape[1], logits.dtype)
            smoothed = torch.lerp(
                shares, torch.full_like(shares, 1 / logits.shape[1]), self.label_smoothing
            )
            bias = find_bias(self.bias, bank) if output.logit_bias is None else output.logit_bias
            return pairwise_sigmoid(logits, smoothed, bias)
        return functional.cross_entropy(logits, target, label_smoothing=self.label_smoothing)

    def _smooth_by_text(self, target: Tensor, bank: TextBank | None, logits: Tensor) -> Tensor:
        """(B, K) targets, mixed with the classes whose texts are similar."""
        if bank is None:
            raise ModelError(
                "a linear head has no texts to smooth labels by",
                hint="Set loss.text_smoothing to 0.",
            )
        with torch.autocast(logits.device.type, enabled=False):
            text = class_directions(bank, logits.dtype)
            # (K, K) distribution over similar classes, one row for each class
            similar = torch.softmax(text @ text.T / self.text_temperature, dim=-1)

            shares = class_distribution(target, logits.shape[1], logits.dtype)
            return torch.lerp(shares, shares @ similar, self.text_smoothing)


def _logit_offsets(strength: float, class_shares: Sequence[float] | None) -> Tensor | None:
    """(K,) α log π; None without an adjustment."""
    if not 0 <= strength < math.inf:
        raise ConfigError("logit_adjustment is out of range", expected="0 or more", found=strength)
    if not strength:
        return None
    if class_shares is None or not all(0 < share < math.inf for share in class_shares):
        raise ConfigError(
            "a logit adjustment needs the class shares of the training data",
            expected="a value above 0 for each class",
            found=class_shares,
        )
    shares = torch.tensor([*class_shares], dtype=torch.float64)
    return (strength * (shares / shares.sum()).log()).float()
