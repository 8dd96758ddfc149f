"""Entry point `ke2nt`: the command groups, and errors as one clear line with exit code 2."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from typing import Annotated, Any

import typer

from ke2nt._version import __version__
from ke2nt.errors import Ke2ntError
from ke2nt.runtime.renamed import RenamedWarning

# typer's own class or click's, depending on the version
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

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
    from ke2nt.cli import (
        adapt,
        bench,
        cache,
        calibrate,
        cross_eval,
        data,
        doctor,
        evaluate,
        explain,
        export,
        gan,
        predict,
        prompts,
        quickstart,
        train,
        zero_shot,
    )
    from ke2nt.cli import app as app_command

    app.add_typer(prompts.app, name="prompts")
    app.add_typer(cache.app, name="cache")
    app.add_typer(data.app, name="data")
    app.add_typer(bench.app, name="bench")
    app.add_typer(gan.app, name="gan")
    app.command("train")(train.train)
    app.command("adapt")(adapt.adapt)
    app.command("evaluate")(evaluate.evaluate)
    app.command("explain")(explain.explain)
    app.command("cross-eval")(cross_eval.cross_eval)
    app.command("zero-shot")(zero_shot.zero_shot)
    app.command("calibrate")(calibrate.calibrate)
    app.command("export")(export.export)
    app.command("doctor")(doctor.doctor)
    app.command("predict")(predict.predict)
    app.command("app")(app_command.app)
    app.command("lab", hidden=True)(app_command.app)  # the old name
    app.command("quickstart")(quickstart.quickstart)


def _terminated(signum: int, frame: object) -> None:
    """End as on Ctrl-C, so that what was begun aside is removed."""
    raise SystemExit(128 + signum)


def _show_warning(
    message: Warning | str, category: type[Warning], *place: Any, **more: Any
) -> None:
    """Print warnings of ke2nt's as one line; those of libraries are not for users."""
    if issubclass(category, RenamedWarning):
        print(f"warning: {message}", file=sys.stderr)


def main() -> None:
    """Run the command line; errors of the user's become one line on stderr and exit code 2."""
    _add_commands()
    alone = "RANK" not in os.environ  # a process that waits for others would not hear it
    if alone and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)
    warnings.showwarning = _show_warning
    text = ""
    try:
        code = app(prog_name="ke2nt", standalone_mode=False) or 0
    except Ke2ntError as error:
        text, code = f"error: {error}", error.exit_code
    except _UsageError as error:
        text, code = _usage_text(error), 2
    except OSError as error:
        text, code = _system_text(error), 2
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:  # what is printed finds no room, or nobody reads it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        gone = isinstance(error, BrokenPipeError)
        text, code = ("", 1) if gone else (text or _system_text(error), code or 2)
    if code == 130:
        text = "stopped"
    if text:
        process = os.environ.get("RANK", "0")  # of those that a launcher has started
        print(text if process == "0" else f"process {process}: {text}", file=sys.stderr)
    sys.exit(code)


def _system_text(error: OSError) -> str:
    place = "" if error.filename is None else f": {error.filename}"
    return f"error: {error.strerror or error}{place}"


def _usage_text(error: Any) -> str:
    """One line for an unknown command or option, or a missing argument."""
    text = " ".join(error.format_message().split())
    if not text:  # a bare `ke2nt` or group: its help has been printed
        return ""
    return f"error: {text} Type '{error.ctx.command_path} --help' for help."


if __name__ == "__main__":
    main()
