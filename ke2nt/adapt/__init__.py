"""Adaptation of a model to unlabeled images.

Public names load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ke2nt.adapt.class_shares import (
        correct_posteriors,
        estimate_shares_bbse,
        estimate_shares_em,
    )
    from ke2nt.adapt.margin_loss import MarginSensitiveLoss

_PUBLIC = {
    "MarginSensitiveLoss": "ke2nt.adapt.margin_loss",
    "correct_posteriors": "ke2nt.adapt.class_shares",
    "estimate_shares_bbse": "ke2nt.adapt.class_shares",
    "estimate_shares_em": "ke2nt.adapt.class_shares",
}

__all__ = [
    "MarginSensitiveLoss",
    "correct_posteriors",
    "estimate_shares_bbse",
    "estimate_shares_em",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ke2nt.adapt' has no attribute {name!r}")
