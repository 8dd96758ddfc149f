"""Old name of `detections.py` and `detectors.py`; it will be removed in the next version."""

from __future__ import annotations

from typing import Any

from ke2nt.predict import detections, detectors
from ke2nt.runtime.renamed import warn_renamed

__all__ = ["Box", "Detection", "Detector", "get_detector"]  # noqa: F822


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = detectors if name == "get_detector" else detections
    warn_renamed("module", __name__, module.__name__)
    return getattr(module, name)
