"""Old name of `detections.py` and `detectors.py`; it will be removed in the next version."""

from __future__ import annotations

from typing import Any

from ke2nt.predict import detections, detectors
from ke2nt.runtime.renamed import warn_renamed

__all__: list[str] = []

_MODULES = {
    "Box": detections,
    "Detection": detections,
    "Detector": detections,
    "get_detector": detectors,
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    module = _MODULES[name]
    warn_renamed("module", __name__, module.__name__)
    return getattr(module, name)
