"""Names of timm's models, from its source: importing it takes a second, reading it does not."""

from __future__ import annotations

import ast
import difflib
import functools
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["ALIASES", "is_timm_name", "similar_names", "timm_module", "timm_names"]

ALIASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "swin_t": ("swin_tiny_patch4_window7_224", {"patch_size": 2}),
}
"""Name in ke2nt → timm name, and the options that make it the published encoder."""

_MODEL = re.compile(r"^@register_model\n(?:@.*\n)*def (\w+)\(", re.M)
_RENAMED = re.compile(r"^register_model_deprecations\(__name__, (\{.*?^\})\)", re.M | re.S)


@functools.cache
def timm_names() -> frozenset[str]:
    """Names of the models that the installed timm registers, with the old names it still takes."""
    return frozenset(
        name for path in _sources() for name in _registered(path.read_text(encoding="utf-8"))
    )


def timm_module(name: str) -> str | None:
    """Name of the module of `timm.models` that registers a model, or None if it is not known."""
    stem = name.split(".")[0]
    for path in _sources():
        text = path.read_text(encoding="utf-8")
        # most files do not have the word, and are not searched for registrations
        if stem in text and stem in _registered(text):
            return path.stem
    return None


def _sources() -> list[Path]:
    """Files of `timm.models`."""
    # a package of the top level is found without being imported
    spec = importlib.util.find_spec("timm")
    folders = list(spec.submodule_search_locations or []) if spec else []
    return [path for folder in folders for path in sorted(Path(folder, "models").glob("*.py"))]


def is_timm_name(name: str) -> bool:
    """Whether a name is an alias or a timm model, with a tag of its weights or without."""
    stem = name.split(".")[0]
    if name in ALIASES or stem in timm_names():
        return True

    # a program may have registered models of its own
    timm = sys.modules.get("timm")
    return timm is not None and timm.is_model(stem)


def similar_names(name: str, more: Sequence[str] = ()) -> list[str]:
    """Names of timm models, and of some more, that a misspelled one may stand for."""
    names = sorted({*timm_names(), *ALIASES, *more})
    return difflib.get_close_matches(name.split(".")[0], names, n=3, cutoff=0.5)


def _registered(source: str) -> Iterator[str]:
    """Names that a module of timm registers."""
    yield from _MODEL.findall(source)
    for table in _RENAMED.findall(source):
        yield from ast.literal_eval(table)
