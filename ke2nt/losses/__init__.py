"""The KE2NT objective: each loss is called as `loss(output, labels, bank)`."""

from ke2nt.losses.objective import KE2NTLoss
from ke2nt.losses.self_contrast import SelfContrastLoss
from ke2nt.losses.similarity import SimilarityLoss
from ke2nt.losses.transformation import TransformationLoss

__all__ = ["KE2NTLoss", "SelfContrastLoss", "SimilarityLoss", "TransformationLoss"]
