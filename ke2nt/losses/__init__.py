"""Losses: each is called as `loss(output, labels, bank)` and gives a scalar.

Composite objectives are called in the same way and give `(total, parts)`. Names load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ke2nt.losses.attributes import AttributeLoss
    from ke2nt.losses.contract import Loss, Objective, ObjectiveResult
    from ke2nt.losses.deep_supervision import DeepSupervisionLoss
    from ke2nt.losses.objective import KE2NTLoss
    from ke2nt.losses.self_contrast import SelfContrastLoss
    from ke2nt.losses.similarity import SimilarityLoss
    from ke2nt.losses.transformation import TransformationLoss

_PUBLIC = {
    "AttributeLoss": "ke2nt.losses.attributes",
    "DeepSupervisionLoss": "ke2nt.losses.deep_supervision",
    "KE2NTLoss": "ke2nt.losses.objective",
    "Loss": "ke2nt.losses.contract",
    "Objective": "ke2nt.losses.contract",
    "ObjectiveResult": "ke2nt.losses.contract",
    "SelfContrastLoss": "ke2nt.losses.self_contrast",
    "SimilarityLoss": "ke2nt.losses.similarity",
    "TransformationLoss": "ke2nt.losses.transformation",
}

__all__ = [
    "AttributeLoss",
    "DeepSupervisionLoss",
    "KE2NTLoss",
    "Loss",
    "Objective",
    "ObjectiveResult",
    "SelfContrastLoss",
    "SimilarityLoss",
    "TransformationLoss",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ke2nt.losses' has no attribute {name!r}")
