"""Read a configuration: YAML file or shipped name, then `key=value` overrides, then validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, overload

import yaml
from pydantic import ValidationError

from ke2nt.config.data import AUTO_SPLIT
from ke2nt.config.overrides import apply_override
from ke2nt.config.problems import describe_problem
from ke2nt.config.read_yaml import read_yaml
from ke2nt.config.renamed_keys import use_new_names
from ke2nt.config.schema import TrainConfig
from ke2nt.config.shipped import check_command_of, list_shipped
from ke2nt.config.unused_keys import check_file_keys, check_override_keys
from ke2nt.errors import ConfigError
from ke2nt.resources import find_resource

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
def load_config(
    name: str | Path, overrides: Iterable[str] = ..., *, command: str | None = ...
) -> TrainConfig: ...
@overload
def load_config(
    name: str | Path, overrides: Iterable[str], kind: type[Config], *, command: str | None = ...
) -> Config: ...
def load_config(
    name: str | Path,
    overrides: Iterable[str] = (),
    kind: type[Any] = TrainConfig,
    *,
    command: str | None = None,
) -> Any:
    """Load and validate a configuration.

    Args:
        name: A YAML file, or the name of a shipped one ("ferplus_resnet18").
        overrides: `key=value` with dots between levels ("optim.lr=0.05"); values are YAML.
        kind: Class of the configuration; a training run by default.
        command: The command that will use it, such as "train"; then keys that it would ignore are
            refused, and only configurations for it are listed.

    Raises:
        ConfigError: The file cannot be read, a key or value is not valid, or a key is not used.
    """
    listed = None if command is None else partial(list_shipped, command)
    path = find_resource("configs", name, listed)
    values = read_yaml(path)
    if command is not None:
        check_command_of(values, command, name)

    # keys are valid before anybody asks who uses them
    overrides = list(overrides)
    values = _leave_dataset(values, overrides)
    for override in overrides:
        apply_override(values, override)
    where = f"{path.name} or the values given with it" if overrides else path.name
    config = config_from_dict(values, kind, where=where)

    # what was typed is checked first: it is easier to correct
    if command is not None:
        check_override_keys(command, config, overrides)
        check_file_keys(command, config, read_yaml(path), path)
    return config


def override_config(
    config: Config, overrides: Iterable[str], *, command: str | None = None
) -> Config:
    """Return a configuration with `key=value` overrides applied.

    Raises:
        ConfigError: A key or value is not valid, or `command` would not use a key.
    """
    overrides = list(overrides)
    if not overrides:
        return config
    # a key that nobody set stays open, as the model to start from may decide it
    values = config.model_dump(mode="json", exclude_unset=True)
    for override in overrides:
        apply_override(values, override)
    changed = config_from_dict(values, type(config), where="the overrides")
    if command is not None:
        check_override_keys(command, changed, overrides)
    return changed


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
