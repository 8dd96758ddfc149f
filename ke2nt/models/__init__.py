"""Image encoders, heads and the KE2NT model. Names load on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ke2nt.models.face_weights import dlib_face_descriptors

_PUBLIC = {"dlib_face_descriptors": "ke2nt.models.face_weights"}

__all__ = ["dlib_face_descriptors"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ke2nt.models' has no attribute {name!r}")
