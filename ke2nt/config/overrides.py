"""`key=value` overrides of a configuration, such as "optim.lr=0.05"."""

from __future__ import annotations

from typing import Any

import yaml

from ke2nt.errors import ConfigError

__all__ = ["apply_override"]


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set one key of a configuration in place.

    Args:
        values: Plain values, not validated.
        override: Key with dots between levels, "=", and a YAML value.

    Raises:
        ConfigError: The override is not valid.
    """
    key, sign, text = override.partition("=")
    *sections, name = key.split(".")
    if not sign or not name or not all(sections):
        raise ConfigError(
            "an override is not valid", expected="key=value, such as optim.lr=0.05", found=override
        )
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError("the value of an override is not valid YAML", found=override) from error

    # sections that are absent or null are created on the way
    for section in sections:
        if values.get(section) is None:
            values[section] = {}
        values = values[section]
        if not isinstance(values, dict):
            raise ConfigError(
                "an override names a key inside a plain value",
                found=override,
                expected=f"{section} to be a section",
            )
    values[name] = value
