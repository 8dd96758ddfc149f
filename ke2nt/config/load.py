"""Read a configuration: YAML file or shipped name, then `key=value` overrides, then validation."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, overload

import yaml
from pydantic import BaseModel, ValidationError

from ke2nt.config.schema import TrainConfig
from ke2nt.errors import ConfigError
from ke2nt.resources import find_resource
from ke2nt.runtime.plain_yaml import PlainLoader
from ke2nt.runtime.renamed import warn_renamed

__all__ = ["Config", "config_from_dict", "config_to_yaml", "load_config", "read_yaml"]

Config = TypeVar("Config", bound=TrainConfig)

_RENAMED_KEYS = {
    "model.grey": "model.gray",
    "target.labelled": "target.labeled",
    "joint.game": "joint.gan_weight",
}
_RENAMED_VALUES = {("text.geometry", "centred"): "centered"}


@overload
def load_config(name: str | Path, overrides: Iterable[str] = ...) -> TrainConfig: ...
@overload
def load_config(name: str | Path, overrides: Iterable[str], kind: type[Config]) -> Config: ...
def load_config(
    name: str | Path, overrides: Iterable[str] = (), kind: type[Any] = TrainConfig
) -> Any:
    """Load and validate a configuration.

    Args:
        name: A YAML file, or the name of a shipped one ("ferplus_resnet18").
        overrides: `key=value` with dots between levels ("optim.lr=0.05"); values are YAML.
        kind: What it configures; a training run unless given.

    Raises:
        ConfigError: The file cannot be read, or a key or value is not valid.
    """
    path = find_resource("configs", name)
    value = read_yaml(path)
    given = list(overrides)
    for override in given:
        _apply(value, override)
    where = f"{path.name} or the values given with it" if given else path.name
    return config_from_dict(value, kind, where=where)


@overload
def config_from_dict(value: Mapping[str, Any], *, where: object = ...) -> TrainConfig: ...
@overload
def config_from_dict(
    value: Mapping[str, Any], kind: type[Config], *, where: object = ...
) -> Config: ...
def config_from_dict(
    value: Mapping[str, Any],
    kind: type[Any] = TrainConfig,
    *,
    where: object = "the configuration",
) -> Any:
    """Validate a plain mapping.

    Raises:
        ConfigError: Names every wrong key, with the nearest known one.
    """
    try:
        return kind.model_validate(_with_new_names(value))
    except ValidationError as error:
        problems = "; ".join(_describe(item, kind) for item in error.errors())
        raise ConfigError(problems, where=where) from error


def config_to_yaml(config: TrainConfig) -> str:
    """The resolved configuration, every key written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def read_yaml(path: Path) -> dict[str, Any]:
    """The sections of a configuration file, not validated.

    Raises:
        ConfigError: It cannot be read, or is no mapping.
    """
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=PlainLoader)  # a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("cannot read the configuration", where=path, found=error) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split())
        raise ConfigError("the configuration is not valid YAML", where=path, found=text) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        wrong = [value]
    else:
        wrong = [key for key in value if not isinstance(key, str)]
    if wrong:
        raise ConfigError(
            "the configuration must be a mapping of sections",
            where=path,
            found=repr(wrong[0])[:100],
        )
    found: dict[str, Any] = value
    return found


def _apply(value: dict[str, Any], override: str) -> None:
    key, sign, text = override.partition("=")
    if not sign or not all(key.split(".")):
        raise ConfigError(
            "an override is not valid", expected="key=value, such as optim.lr=0.05", found=override
        )
    try:
        parsed = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError("the value of an override is not valid YAML", found=override) from error
    *sections, last = key.split(".")
    for section in sections:
        if value.get(section) is None:
            value[section] = {}
        value = value[section]
        if not isinstance(value, dict):
            raise ConfigError("an override goes through a plain value", found=override)
    value[last] = parsed


def _with_new_names(value: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which keys and values that were renamed have their new names."""
    changed = dict(value)

    def section_of(key: str) -> tuple[dict[str, Any] | None, str]:
        section, _, name = key.partition(".")
        if not isinstance(changed.get(section), dict):
            return None, name
        changed[section] = dict(changed[section])
        return changed[section], name

    for old, new in _RENAMED_KEYS.items():
        section, name = section_of(old)
        new_name = new.partition(".")[2]
        if section is not None and name in section and new_name not in section:
            warn_renamed("configuration key", old, new)
            section[new_name] = section.pop(name)

    for (key, old), new in _RENAMED_VALUES.items():
        section, name = section_of(key)
        if section is not None and section.get(name) == old:
            warn_renamed(f"value of {key}", old, new)
            section[name] = new
    return changed


def _describe(error: Any, kind: type[BaseModel]) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place, _known_keys(kind), n=1, cutoff=0.5)
        return f"unknown key {place}" + (f", did you mean {near[0]}?" if near else "")
    message = error["msg"].removeprefix("Value error, ")
    if isinstance(error["input"], dict):  # of keys that do not go together
        return f"{place or 'the configuration'}: {message}"
    return f"{place or 'the configuration'}: {message}, found {error['input']!r}"[:400]


def _known_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, info in model.model_fields.items():
        kind = info.annotation
        kinds = [kind, *get_args(kind)]
        section = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
        keys.append(prefix + name)
        if section is not None:
            keys += _known_keys(section, f"{prefix}{name}.")
    return keys
