"""Refuse keys that a command would ignore, on the command line and in a configuration file."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ValidationError

from ke2nt.config.key_rules import RULES, KeyRule
from ke2nt.config.overrides import apply_override
from ke2nt.config.problems import find_section, list_keys
from ke2nt.config.renamed_keys import use_new_names
from ke2nt.errors import ConfigError

__all__ = ["check_file_keys", "check_override_keys", "find_unused_keys"]


def find_unused_keys(command: str, config: BaseModel) -> dict[str, str]:
    """Return the keys that a command does not use with a configuration.

    Args:
        command: A key of `RULES`, such as "gan pretrain".
        config: The whole configuration: some keys are used only with certain values of others.

    Returns:
        Key with dots between levels → why it is not used.
    """
    unused: dict[str, str] = {}
    keys = list_keys(type(config))
    for rule in RULES[command]:
        if rule.applies(config):
            unused |= {key: rule.reason for key in keys if _covers(rule, key) and key not in unused}
    return unused


def check_override_keys(command: str, config: BaseModel, overrides: Iterable[str]) -> None:
    """Check that a command uses every key of its overrides.

    Args:
        command: A key of `RULES`.
        config: The configuration with the overrides.
        overrides: `key=value` texts, valid ones.

    Raises:
        ConfigError: Names every key that is not used, why, and the nearest one that is.
    """
    values: dict[str, Any] = {}
    for override in overrides:
        apply_override(values, override)
    _refuse([command], [config], _written_keys(values, type(config)), where=None)


def check_file_keys(
    command: str, config: BaseModel, values: Mapping[str, Any], where: object
) -> None:
    """Check that a configuration file has no key that all of its commands would ignore.

    A key may be used with the values of the file alone, and an override turns it off; that is
    allowed. A section that writes out every key, as the `config.yaml` of a run does, is not
    checked.

    Args:
        command: A key of `RULES`. A file may serve several commands, such as both of `gan`.
        config: The configuration, with overrides.
        values: The file's content.
        where: The file, for messages.

    Raises:
        ConfigError: As for `check_override_keys`.
    """
    configs = [config]
    # a file may need overrides to be valid at all
    with suppress(ValidationError):
        configs.append(type(config).model_validate(_with_new_names(values)))
    commands = _COMMANDS_OF_ONE_FILE.get(command, (command,))
    _refuse(commands, configs, _written_keys(values, type(config), skip_complete=True), where)


_COMMANDS_OF_ONE_FILE = {
    "gan pretrain": ("gan pretrain", "gan train"),
    "gan train": ("gan train", "gan pretrain"),
}


def _refuse(
    commands: Sequence[str],
    configs: Sequence[BaseModel],
    written: Iterable[str],
    where: object,
) -> None:
    # a key is refused if no command uses it with any of the configurations
    all_unused = [find_unused_keys(name, config) for name in commands for config in configs]
    refused = [key for key in written if all(key in unused for unused in all_unused)]
    if not refused:
        return

    # keys with the same reason are named together
    by_reason: dict[str, list[str]] = {}
    for key in refused:
        by_reason.setdefault(all_unused[0][key], []).append(key)
    problems = [f"{', '.join(keys)}: {reason}" for reason, keys in by_reason.items()]
    used = [key for key in list_keys(type(configs[0])) if key not in all_unused[0]]
    raise ConfigError(
        f"`ke2nt {commands[0]}` would not use {'; '.join(problems)}",
        where=where,
        hint=_suggest(refused[0], used),
    )


def _suggest(key: str, used: Sequence[str]) -> str:
    """Name the nearest key that works: of the same name if possible."""
    name = key.rpartition(".")[2]
    same_name = [other for other in used if other.rpartition(".")[2] == name]
    near = difflib.get_close_matches(key, same_name, n=1, cutoff=0.0)
    if not near:
        return f"Leave {key} out."
    return f"Leave {key} out; did you mean {near[0]}?"


def _covers(rule: KeyRule, key: str) -> bool:
    return _is_in(key, rule.keys) and not _is_in(key, rule.but)


def _is_in(key: str, sections: Iterable[str]) -> bool:
    return any(key == each or key.startswith(f"{each}.") for each in sections)


def _written_keys(
    values: Mapping[str, Any], kind: type[BaseModel], *, skip_complete: bool = False
) -> list[str]:
    """List the keys that are set, with dots between levels."""
    return list(_walk(_with_new_names(values), kind, "", skip_complete))


def _with_new_names(values: Mapping[str, Any]) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old names were warned of before
        return use_new_names(values)


def _walk(
    values: Mapping[str, Any], kind: type[BaseModel], prefix: str, skip_complete: bool
) -> Iterator[str]:
    complete = skip_complete and kind.model_fields.keys() <= values.keys()
    for name, value in values.items():
        field = kind.model_fields.get(name)
        section = None if field is None else find_section(field.annotation)
        if section is not None and isinstance(value, Mapping):
            yield from _walk(value, section, f"{prefix}{name}.", skip_complete)

        # null leaves a section out, which no command needs to use
        elif not complete and not (section is not None and value in (None, False)):
            yield prefix + name
