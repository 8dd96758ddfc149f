"""The prompt lab: rank, search and compare prompts on images that are embedded once.

Public names load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ke2nt.promptlab.comparison import compare
    from ke2nt.promptlab.ranking import rank
    from ke2nt.promptlab.search_prompts import search
    from ke2nt.promptlab.text_geometry import geometry

# The modules have other names than the functions: a submodule would hide a function of its name.
_PUBLIC = {
    "compare": "ke2nt.promptlab.comparison",
    "geometry": "ke2nt.promptlab.text_geometry",
    "rank": "ke2nt.promptlab.ranking",
    "search": "ke2nt.promptlab.search_prompts",
}

__all__ = ["compare", "geometry", "rank", "search"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ke2nt.promptlab' has no attribute {name!r}")
