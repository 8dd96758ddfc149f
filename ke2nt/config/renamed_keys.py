"""Keys and values of configurations that have new names; the old ones work for one version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ke2nt.runtime.renamed import warn_renamed

__all__ = ["use_new_names"]

# section → old key → new key
_KEYS = {
    "model": {"grey": "gray"},
    "target": {"labelled": "labeled"},
    "joint": {"game": "gan_weight"},
}

# section → key → old value → new value
_VALUES = {"text": {"geometry": {"centred": "centered"}}}


def use_new_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy with new names, with a warning for each old one."""
    renamed = dict(values)
    for section in {*_KEYS, *_VALUES} & renamed.keys():
        if isinstance(renamed[section], dict):
            renamed[section] = _rename_in_section(section, renamed[section])
    return renamed


def _rename_in_section(section: str, values: dict[str, Any]) -> dict[str, Any]:
    renamed = dict(values)
    for old, new in _KEYS.get(section, {}).items():
        # with both names present, validation reports the old one as unknown
        if old in renamed and new not in renamed:
            warn_renamed("configuration key", f"{section}.{old}", f"{section}.{new}")
            renamed[new] = renamed.pop(old)

    for key, new_values in _VALUES.get(section, {}).items():
        value = renamed.get(key)
        if isinstance(value, str) and value in new_values:
            warn_renamed(f"value of {section}.{key}", value, new_values[value])
            renamed[key] = new_values[value]
    return renamed
