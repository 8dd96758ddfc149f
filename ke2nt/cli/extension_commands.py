"""Commands of other packages: entry points of the group `ke2nt.commands`.

The packages are looked up only for --help and for names that are not built in, so that the built-in
commands start as fast as without them.
"""

from __future__ import annotations

import functools
import sys
from importlib import metadata
from typing import Any

import typer
from typer.core import TyperGroup

from ke2nt.errors import ConfigError
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["GROUP", "ExtensibleGroup"]

GROUP = "ke2nt.commands"


class ExtensibleGroup(TyperGroup):
    """The built-in commands, and those of installed packages under names that are still free."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return all names, the built-in ones first; commands that fail to load are left out."""
        names = super().list_commands(ctx)
        for name in sorted(_entry_points()):
            if name in self.commands:
                print(f"warning: {_replaces_built_in(name)}", file=sys.stderr)
            elif self._load_for_help(ctx, name):
                names.append(name)
        return names

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command by name, or None.

        Raises:
            ConfigError: The command of a package cannot be loaded.
        """
        built_in = super().get_command(ctx, cmd_name)
        if built_in is not None or cmd_name not in _entry_points():
            return built_in
        return _load_command(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that was typed; the suggestion for a typo includes all names."""
        # typer would suggest only built-in names
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            known = [*self.commands, *_entry_points()]
            visible = [
                each
                for each in known
                if each not in self.commands or not self.commands[each].hidden
            ]
            ctx.fail(
                " ".join(filter(None, [f"No such command {name!r}.", did_you_mean(name, visible)]))
            )
        return super().resolve_command(ctx, args)

    def _load_for_help(self, ctx: Any, name: str) -> bool:
        """Whether a package's command loads; if not, one line says so and the help goes on."""
        try:
            self.get_command(ctx, name)
        except ConfigError as error:
            print(f"warning: {error}", file=sys.stderr)
            return False
        return True


@functools.cache
def _entry_points() -> dict[str, metadata.EntryPoint]:
    """Return the commands of installed packages by name; the first package that has a name wins."""
    commands: dict[str, metadata.EntryPoint] = {}
    for entry in metadata.entry_points(group=GROUP):
        commands.setdefault(entry.name, entry)
    return commands


@functools.cache
def _load_command(name: str) -> Any:
    """Import a package's command.

    Raises:
        ConfigError: The import fails, or it is not a typer app or a function.
    """
    entry = _entry_points()[name]
    broken = functools.partial(
        ConfigError,
        f"the command {name!r} of the package {_package(entry)} cannot be loaded",
        where=entry.value,
    )

    # the package may fail in any way; that must not stop the other commands
    try:
        command = entry.load()
    except Exception as error:
        raise broken(found=f"{type(error).__name__}: {error}") from error

    if isinstance(command, typer.Typer):
        app = command
    elif callable(command) and not isinstance(command, type):
        app = typer.Typer(add_completion=False)
        app.command(name)(command)
    else:
        raise broken(expected="a typer.Typer or a function", found=type(command).__name__)

    # typer checks the types of options only now
    try:
        return typer.main.get_command(app)
    except Exception as error:
        raise broken(found=f"{type(error).__name__}: {error}") from error


def _replaces_built_in(name: str) -> str:
    package = _package(_entry_points()[name])
    return f"the command {name!r} of the package {package} is ignored: that name is built in"


def _package(entry: metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "(unknown)"
