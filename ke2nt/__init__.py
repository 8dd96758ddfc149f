"""ke2nt: language-guided facial expression recognition.

Public names load on first use, so that `import ke2nt` stays instant.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ke2nt._old_names import install_old_names
from ke2nt._version import __version__

if TYPE_CHECKING:
    from ke2nt.api import evaluate, train, zero_shot
    from ke2nt.banks.text_bank import TextBank
    from ke2nt.blending.blend import blend
    from ke2nt.datasets.catalog import load_dataset
    from ke2nt.errors import Ke2ntError
    from ke2nt.models.ke2nt import KE2NT
    from ke2nt.models.load import load_model
    from ke2nt.models.output import KE2NTOutput
    from ke2nt.predict.recognizer import Recognizer
    from ke2nt.prompts.prompt_set import PromptSet

_PUBLIC = {
    "KE2NT": "ke2nt.models.ke2nt",
    "KE2NTOutput": "ke2nt.models.output",
    "Ke2ntError": "ke2nt.errors",
    "PromptSet": "ke2nt.prompts.prompt_set",
    "Recognizer": "ke2nt.predict.recognizer",
    "TextBank": "ke2nt.banks.text_bank",
    "blend": "ke2nt.blending.blend",
    "evaluate": "ke2nt.api",
    "load_dataset": "ke2nt.datasets.catalog",
    "load_model": "ke2nt.models.load",
    "train": "ke2nt.api",
    "zero_shot": "ke2nt.api",
}

__all__ = [
    "KE2NT",
    "KE2NTOutput",
    "Ke2ntError",
    "PromptSet",
    "Recognizer",
    "TextBank",
    "__version__",
    "blend",
    "evaluate",
    "load_dataset",
    "load_model",
    "train",
    "zero_shot",
]


class _Package(ModuleType):
    """A package whose public names cannot be replaced by modules with the same names."""

    def __setattr__(self, name: str, value: object) -> None:
        # importing the old module `ke2nt.train` would otherwise hide the function `ke2nt.train`
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'ke2nt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])


sys.modules[__name__].__class__ = _Package
install_old_names()
