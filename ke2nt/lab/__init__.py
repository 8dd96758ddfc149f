"""The prompt lab: which words make recognition better, on images that are embedded once.

Names load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ke2nt.lab.comparison import compare
    from ke2nt.lab.ranking import rank
    from ke2nt.lab.searching import search
    from ke2nt.lab.text_geometry import geometry

# The modules have other names than the functions: a submodule would hide a function of its name.
_PUBLIC = {
    "compare": "ke2nt.lab.comparison",
    "geometry": "ke2nt.lab.text_geometry",
    "rank": "ke2nt.lab.ranking",
    "search": "ke2nt.lab.searching",
}

__all__ = ["compare", "geometry", "rank", "search"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ke2nt.lab' has no attribute {name!r}")
