"""Entry point `ke2nt`: the command groups, and errors as one clear line with exit code 2."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ke2nt._version import __version__
from ke2nt.errors import Ke2ntError

app = typer.Typer(
    name="ke2nt",
    help="Language-guided facial expression recognition.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Language-guided facial expression recognition."""


def _add_commands() -> None:
    """Attach every command group. A new one is one file and one line here."""
    from ke2nt.cli import cache, data, evaluate, prompts, quickstart, train

    app.add_typer(prompts.app, name="prompts")
    app.add_typer(cache.app, name="cache")
    app.add_typer(data.app, name="data")
    app.command("train")(train.train)
    app.command("evaluate")(evaluate.evaluate)
    app.command("quickstart")(quickstart.quickstart)


def main() -> None:
    """Run the command line; errors of the user's become one line on stderr and exit code 2."""
    _add_commands()
    try:
        app()
    except Ke2ntError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
