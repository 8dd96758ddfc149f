"""Few shots: methods that learn from K images of each class, on embeddings of a frozen encoder.

Public names load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ke2nt.fewshot.experiment import few_shot
    from ke2nt.fewshot.names import METHOD_NAMES
    from ke2nt.fewshot.options import FewShotOptions

# The module has another name than the function: a submodule would hide a function of its name.
_PUBLIC = {
    "METHOD_NAMES": "ke2nt.fewshot.names",
    "FewShotOptions": "ke2nt.fewshot.options",
    "few_shot": "ke2nt.fewshot.experiment",
}

__all__ = ["METHOD_NAMES", "FewShotOptions", "few_shot"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ke2nt.fewshot' has no attribute {name!r}")
