"""Which command a configuration file is for, told by its sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ke2nt.config.read_yaml import read_yaml
from ke2nt.errors import ConfigError
from ke2nt.resources import list_resources

__all__ = ["check_command_of", "list_shipped"]

# a file with one of these sections is for these commands, any other for `train`
_SECTIONS: Mapping[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "gan": (("gan pretrain", "gan train"), frozenset({"gan", "joint"})),
    "adapt": (("adapt",), frozenset({"adapt", "target", "source_optim"})),
}


def list_shipped(command: str) -> list[str]:
    """List the names of the shipped configurations that are for a command."""
    files = list_resources("configs").items()
    return [name for name, path in files if command in _commands_for(read_yaml(path))]


def check_command_of(values: Mapping[str, Any], command: str, name: object) -> None:
    """Check that a file is not for another command; a file for `train` serves all.

    Args:
        values: The file's content.
        command: The command that reads it.
        name: The file or shipped name, as it was requested.

    Raises:
        ConfigError: It is for another command.
    """
    commands = _commands_for(values)
    if command in commands or commands == ("train",):
        return
    raise ConfigError(
        f"the configuration {name} is not for `ke2nt {command}`",
        expected=f"a YAML file, or one of {', '.join(list_shipped(command))}",
        hint=f"Type: {' or '.join(f'ke2nt {each} {name}' for each in commands)}",
    )


def _commands_for(values: Mapping[str, Any]) -> tuple[str, ...]:
    for commands, sections in _SECTIONS.values():
        if sections & values.keys():
            return commands
    return ("train",)
