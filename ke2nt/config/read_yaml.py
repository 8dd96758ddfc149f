"""Read a configuration file as plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ke2nt.errors import ConfigError
from ke2nt.runtime.plain_yaml import PlainLoader

__all__ = ["read_yaml"]


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the sections of a configuration file, without validation.

    Raises:
        ConfigError: The file cannot be read, or does not hold a mapping.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=PlainLoader)  # a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("cannot read the configuration", where=path, found=error) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split())
        raise ConfigError("the configuration is not valid YAML", where=path, found=text) from error

    if values is None:
        return {}
    if not isinstance(values, dict):
        raise _not_a_mapping(path, values)
    for key in values:
        if not isinstance(key, str):
            raise _not_a_mapping(path, key)
    return values


def _not_a_mapping(path: Path, found: object) -> ConfigError:
    return ConfigError(
        "the configuration must be a mapping of sections", where=path, found=repr(found)[:100]
    )
