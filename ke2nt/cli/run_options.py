"""Options of commands that write a run directory: a configuration, or a run to resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ke2nt.cli.option_values import quote_yaml
from ke2nt.errors import ConfigError

__all__ = [
    "ConfigArgument",
    "KeepFlag",
    "ResumeOption",
    "RunFolderOption",
    "RunOptions",
    "check_resumed_alone",
]

ConfigArgument = Annotated[
    str | None, typer.Argument(help="A YAML file or the name of a shipped configuration.")
]
RunFolderOption = Annotated[
    Path | None, typer.Option("--out", help="Run directory. Default: that of the configuration.")
]
ResumeOption = Annotated[
    Path | None, typer.Option("--resume", help="Continue the run in this directory.")
]
KeepFlag = Annotated[
    bool,
    typer.Option("--keep", help="Keep the checkpoints when the run has ended.", show_default=False),
]


def check_resumed_alone(command: str, run: Path, options: Mapping[str, object]) -> None:
    """Refuse options of a new run together with --resume.

    Args:
        command: The command that resumes the run.
        run: The run directory.
        options: Name → value; empty or None if the option was not used.

    Raises:
        ConfigError: One of the options was used.
    """
    used = [name for name, value in options.items() if value]
    if used:
        raise ConfigError(
            "--resume cannot be combined with other options",
            expected="--resume RUN alone",
            found=", ".join(used),
            hint=f"Type: {command} --resume {run}",
        )


@dataclass(frozen=True)
class RunOptions:
    """A configuration with overrides for a new run, or a run to resume."""

    config: ConfigArgument = None
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, such as data.root=DIR optim.lr=0.05")
    ] = None
    out: RunFolderOption = None
    resume: ResumeOption = None
    keep: KeepFlag = False

    @property
    def is_resumed(self) -> bool:
        """Whether a run is resumed."""
        return self.resume is not None

    def check(self, command: str, **new_run_options: object) -> None:
        """Check that either a configuration or a run to resume is named.

        Args:
            command: The command, for messages.
            **new_run_options: Further options that belong to a new run.

        Raises:
            ConfigError: Both or neither are named, or --resume is combined with other options.
        """
        if (self.config is None) == (self.resume is None):
            from ke2nt.config.shipped import list_shipped

            names = list_shipped(command.removeprefix("ke2nt "))
            raise ConfigError(
                "name a configuration, or a run to resume",
                expected=f"a YAML file, or one of {', '.join(names)}",
                hint=f"Type: {command} CONFIG [key=value …], or {command} --resume RUN",
            )
        if self.resume is not None:
            options = {f"--{name}": value for name, value in new_run_options.items()}
            options |= {"--out": self.out, "--keep": self.keep}
            check_resumed_alone(command, self.resume, options)

    def all_overrides(self) -> list[str]:
        """Return the overrides, and last those that options stand for, so that options win."""
        overrides = list(self.overrides or [])
        if self.out is not None:
            overrides.append(f"out={quote_yaml(str(self.out))}")
        if self.keep:
            overrides.append("keep=true")
        return overrides
