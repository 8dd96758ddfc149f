"""The margin-sensitive metric loss of DMSRL: class centers of each domain with a margin."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ke2nt.errors import ConfigError, ModelError
from ke2nt.losses.targets import check_labels

__all__ = ["MarginSensitiveLoss", "build_text_centers", "compute_spread"]


class MarginSensitiveLoss(nn.Module):
    """Pull features to the center of their class, and push the centers of each domain apart.

    L = Σ_i ½‖f_i − c_{y_i}‖² / B over the source (labels) plus over the target (pseudo-labels),
    plus max(0, m − Σ_{i<j} ‖c_i − c_j‖² / (K (K − 1))) for the centers of each domain, plus
    λ_1 · (1/K) Σ_k ‖c^s_k − c^t_k‖² ("Deep Margin-Sensitive Representation Learning for
    Cross-Domain FER", IEEE TMM 25:1359, 2022).

    Args:
        num_classes: K.
        dim: D, width of the features.
        margin: m.
        domain_weight: λ_1.
        generator: Draws the initial centers; None uses torch's default generator.

    Attributes:
        source_centers: Parameter (K, D), initially standard normal.
        target_centers: Parameter (K, D), initially standard normal, drawn after `source_centers`.

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
        domain_weight: float = 0.01,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 1 or dim < 1 or not margin >= 0 or not domain_weight >= 0:
            raise ConfigError(
                "invalid settings of the class centers",
                expected="at least one class and dimension, non-negative margin and domain weight",
                found=(num_classes, dim, margin, domain_weight),
            )
        self.margin, self.domain_weight = margin, domain_weight

        # the domains start at independent centers
        source, target = (torch.randn(num_classes, dim, generator=generator) for _ in range(2))
        self.source_centers, self.target_centers = nn.Parameter(source), nn.Parameter(target)

    def forward(
        self,
        source_features: Tensor,
        source_labels: Tensor,
        target_features: Tensor,
        target_labels: Tensor,
        target_weights: Tensor | None = None,
    ) -> Tensor:
        """Compute the scalar loss.

        Args:
            source_features: (B_s, D).
            source_labels: (B_s,) int64.
            target_features: (B_t, D).
            target_labels: (B_t,) int64, pseudo-labels.
            target_weights: (B_t,) weight of each target image, None for 1; the sum is divided by
                B_t in any case.

        Raises:
            ModelError: Shapes or labels do not fit.
        """
        source, target = self.source_centers, self.target_centers

        # mean squared distance between the centers of one class in both domains
        domain_gap = (source - target).square().sum(dim=1).mean()

        return (
            _center_loss(source_features, source_labels, source, None)
            + _center_loss(target_features, target_labels, target, target_weights)
            + (self.margin - compute_spread(source)).relu()
            + (self.margin - compute_spread(target)).relu()
            + self.domain_weight * domain_gap
        )


def compute_spread(centers: Tensor) -> Tensor:
    """Σ_{i<j} ‖c_i − c_j‖² / (K (K − 1)): half the mean squared distance of (K, D) centers.

    Σ_{i<j} ‖c_i − c_j‖² = K Σ_i ‖c_i − mean‖², so no pairs are formed. One center gives 0.
    """
    num_classes = len(centers)
    if num_classes == 1:
        return centers.new_zeros(())

    # Σ_i ‖c_i − mean‖² / (K − 1)
    return (centers - centers.mean(dim=0)).square().sum() / (num_classes - 1)


def build_text_centers(embeddings: Tensor, margin: float) -> Tensor:
    """Build class centers in the directions of the class texts, spread as far as the margin.

    Args:
        embeddings: (K, D) text embeddings.
        margin: `compute_spread` of the result.

    Returns:
        (K, D) centers r (t_k − mean t), with r chosen so that the spread equals the margin.
    """
    # the spread is quadratic in r
    centered = embeddings - embeddings.mean(dim=0)
    return centered * (margin / compute_spread(centered).clamp(min=1e-12)).sqrt()


def _center_loss(
    features: Tensor, labels: Tensor, centers: Tensor, weights: Tensor | None
) -> Tensor:
    """Mean of the weighted ½‖f_i − c_{y_i}‖²."""
    if features.ndim != 2 or features.shape[1] != centers.shape[1]:
        raise ModelError(
            "the features must have the width of the class centers",
            expected=f"(batch, {centers.shape[1]})",
            found=tuple(features.shape),
        )
    check_labels(labels, len(features), len(centers))

    # (B,) half squared distance to the center of each image's class
    distances = 0.5 * (features.to(centers.dtype) - centers[labels]).square().sum(dim=1)
    return (distances if weights is None else weights * distances).mean()
