"""The margin-sensitive metric loss of DMSRL: class centers of each domain, kept apart."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ke2nt.adapt.domain_batch import DomainBatch
from ke2nt.errors import ConfigError, ModelError
from ke2nt.losses.targets import check_labels

__all__ = ["MarginSensitiveLoss", "MetricPart", "centers_from_text", "spread"]


class MarginSensitiveLoss(nn.Module):
    """Pull features to their class's center, and the centers of each domain apart.

    L = Σ_i ½‖f_i − c_{y_i}‖² / B, of the source with its labels plus of the target with its
    pseudo-labels, plus max(0, m − Σ_{i<j} ‖c_i − c_j‖² / (K (K − 1))) for the centers of either,
    with m = margin + λ_1 · (1/K) Σ_k ‖c^s_k − c^t_k‖² ("Deep Margin-Sensitive Representation
    Learning for Cross-Domain FER", IEEE TMM 25:1359, 2022).

    Args:
        num_classes: K.
        dim: D, width of the features.
        margin: m without the domains' distance.
        domain_weight: λ_1.
        generator: Draws the centers; torch's own unless given.

    Attributes:
        source_centers: Parameter (K, D), standard normal at first.
        target_centers: Parameter (K, D), the same at first.

    Raises:
        ConfigError: A number is out of range.

    Example:
        >>> loss = MarginSensitiveLoss(7, 512)
        >>> loss(source_features, source_labels, target_features, pseudo_labels).backward()
    """

    def __init__(
        self,
        num_classes: int,
        dim: int,
        margin: float = 100.0,
        domain_weight: float = 1.0,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 1 or dim < 1 or not margin >= 0 or not domain_weight >= 0:
            raise ConfigError(
                "the centers are not valid",
                expected="at least one class and dimension, margin and domain weight from 0",
                found=(num_classes, dim, margin, domain_weight),
            )
        self.margin, self.domain_weight = margin, domain_weight
        drawn = torch.randn(num_classes, dim, generator=generator)
        self.source_centers = nn.Parameter(drawn)
        self.target_centers = nn.Parameter(drawn.clone())

    def forward(
        self,
        source_features: Tensor,
        source_labels: Tensor,
        target_features: Tensor,
        target_labels: Tensor,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """The scalar loss.

        Args:
            source_features: (B_s, D).
            source_labels: (B_s,) int64.
            target_features: (B_t, D).
            target_labels: (B_t,) int64, pseudo-labels.
            target_weights: (B_t,) factor of each target image, 1 unless given; B stays B_t.

        Raises:
            ModelError: Shapes or labels do not fit.
        """
        source, target = self.source_centers, self.target_centers
        gap = (source - target).square().sum(dim=1).mean()
        margin = self.margin + self.domain_weight * gap
        return (
            _pull(source_features, source_labels, source, None)
            + _pull(target_features, target_labels, target, target_weights)
            + (margin - spread(source)).relu()
            + (margin - spread(target)).relu()
        )


def spread(centers: Tensor) -> Tensor:
    """Σ_{i<j} ‖c_i − c_j‖² / (K (K − 1)) of (K, D) centers: half their mean squared distance.

    As Σ_{i<j} ‖c_i − c_j‖² = K Σ_i ‖c_i − mean‖², no pair is formed. One center has 0.
    """
    classes = len(centers)
    if classes == 1:
        return centers.new_zeros(())
    return (centers - centers.mean(dim=0)).square().sum() / (classes - 1)


def _pull(features: Tensor, labels: Tensor, centers: Tensor, weights: Tensor | None) -> Tensor:
    if features.ndim != 2 or features.shape[1] != centers.shape[1]:
        raise ModelError(
            "the features do not have the width of the centers",
            expected=f"(batch, {centers.shape[1]})",
            found=tuple(features.shape),
        )
    check_labels(labels, len(features), len(centers))
    distances = 0.5 * (features.to(centers.dtype) - centers[labels]).square().sum(dim=1)
    return (distances if weights is None else weights * distances).mean()


def centers_from_text(embeddings: Tensor, margin: float) -> Tensor:
    """Class centers that lie as the class texts do, just so far apart that the margin is kept.

    Args:
        embeddings: (K, D) text embeddings.
        margin: What `spread` of the centers is to be.

    Returns:
        (K, D), r (t_k − mean t) with spread = margin.
    """
    centered = embeddings - embeddings.mean(dim=0)
    return centered * (margin / spread(centered).clamp(min=1e-12)).sqrt()


class MetricPart(nn.Module):
    """The margin-sensitive loss on embeddings, as a part of an objective.

    Args:
        loss: The loss.
    """

    def __init__(self, loss: MarginSensitiveLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, batch: DomainBatch, strength: float) -> Tensor:
        """The scalar, times `strength`."""
        value: Tensor = self.loss(
            batch.source.embeddings,
            batch.labels,
            batch.target.embeddings,
            batch.pseudo.labels,
            batch.pseudo.weights,
        )
        return strength * value
