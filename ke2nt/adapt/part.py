"""What every part of an adaptation objective is built from."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from ke2nt.adapt.domain_batch import DomainBatch
from ke2nt.banks.text_bank import TextBank
from ke2nt.config.adapt import AdaptSection
from ke2nt.losses.deep_supervision import DeepSupervisionLoss
from ke2nt.losses.objective import KE2NTLoss

__all__ = ["AdaptationPart", "PartContext"]


class PartContext(NamedTuple):
    """The model and the run that a part is built for.

    Attributes:
        num_classes: K.
        dim: D, width of the embeddings.
        bank: Text bank of the target, None for a linear head.
        loss: The objective on the labeled source images.
        seed: Seed of the run, for random initial values.
    """

    num_classes: int
    dim: int
    bank: TextBank | None
    loss: KE2NTLoss | DeepSupervisionLoss
    seed: int


class AdaptationPart(nn.Module):
    """Base class of the parts.

    A part is constructed as `Part(config, context)` and called as `part(batch, strength)`. A class
    of another package works the same way, whether it derives from this class or from `nn.Module`.

    Args:
        config: The section `adapt` of the configuration.
        context: Number of classes, embedding width, text bank, objective and seed.

    Attributes:
        needs_single_labels: Whether each source image must have exactly one class, so that mixup
            and cutmix are turned off.
    """

    needs_single_labels: ClassVar[bool] = False

    def __init__(self, config: AdaptSection, context: PartContext) -> None:
        super().__init__()

    def forward(self, batch: DomainBatch, strength: float) -> Tensor:
        """Compute the loss of one step.

        Args:
            batch: Outputs of both domains, source labels and pseudo-labels.
            strength: In [0, 1]; multiplies the gradient that reaches the image encoder.

        Returns:
            A scalar.
        """
        raise NotImplementedError
