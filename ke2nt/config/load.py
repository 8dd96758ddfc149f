"""Read a configuration: YAML file or shipped name, then `key=value` overrides, then validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

import yaml
from pydantic import ValidationError

from ke2nt.config.data import AUTO_SPLIT
from ke2nt.config.overrides import apply_override
from ke2nt.config.problems import describe_problem
from ke2nt.config.renamed_keys import use_new_names
from ke2nt.config.schema import TrainConfig
from ke2nt.errors import ConfigError
from ke2nt.resources import find_resource
from ke2nt.runtime.plain_yaml import PlainLoader

__all__ = [
    "Config",
    "config_from_dict",
    "config_to_yaml",
    "load_config",
    "override_config",
    "read_yaml",
]

_DATASET_NAMES = {"data.name", "target.name"}
_READER_OPTIONS = {"options", "train_options"}
_SPLIT_NAMES = {"train_split", "val_split"}

Config = TypeVar("Config", bound=TrainConfig)


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
        kind: Class of the configuration; a training run by default.

    Raises:
        ConfigError: The file cannot be read, or a key or value is not valid.
    """
    path = find_resource("configs", name)
    values = read_yaml(path)
    overrides = list(overrides)
    values = _leave_dataset(values, overrides)
    for override in overrides:
        apply_override(values, override)
    where = f"{path.name} or the values given with it" if overrides else path.name
    return config_from_dict(values, kind, where=where)


def override_config(config: Config, overrides: Iterable[str]) -> Config:
    """Return a configuration with `key=value` overrides applied.

    Raises:
        ConfigError: A key or value is not valid.
    """
    overrides = list(overrides)
    if not overrides:
        return config
    # a key that nobody set stays open, as the model to start from may decide it
    values = config.model_dump(mode="json", exclude_unset=True)
    for override in overrides:
        apply_override(values, override)
    return config_from_dict(values, type(config), where="the overrides")


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

    Args:
        value: Sections and keys; old names of keys are accepted with a warning.
        kind: Class of the configuration; a training run by default.
        where: The file to name in errors.

    Raises:
        ConfigError: Names every wrong key, with the nearest valid one.
    """
    try:
        return kind.model_validate(use_new_names(value))
    except ValidationError as error:
        problems = "; ".join(describe_problem(item, kind) for item in error.errors())
        raise ConfigError(problems, where=where) from error


def config_to_yaml(config: TrainConfig) -> str:
    """Return the resolved configuration, every key written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


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


def _leave_dataset(values: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Drop what a file says of its dataset, where an override names another dataset.

    Options such as `rule` are those of one reader; the names of splits become `auto`.
    """
    for override in overrides:
        key, _, name = override.partition("=")
        section = values.get(key.removesuffix(".name"))
        if key not in _DATASET_NAMES or not isinstance(section, dict):
            continue
        if section.get("name") in (None, yaml.safe_load(name)):
            continue

        # a split that the file leaves open, null, stays open
        rest = {k: v for k, v in section.items() if k not in _READER_OPTIONS}
        names = {k: AUTO_SPLIT for k in _SPLIT_NAMES if rest.get(k) is not None}
        values = {**values, key.removesuffix(".name"): {**rest, **names}}
    return values


def _not_a_mapping(path: Path, found: object) -> ConfigError:
    return ConfigError(
        "the configuration must be a mapping of sections", where=path, found=repr(found)[:100]
    )
