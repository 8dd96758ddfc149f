"""Entry point `ke2nt`: the commands, and errors as one clear line with exit code 2."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from typing import Annotated, Any, NamedTuple

import typer

from ke2nt._version import __version__
from ke2nt.cli.extension_commands import ExtensibleGroup
from ke2nt.errors import Ke2ntError, Ke2ntWarning
from ke2nt.runtime.renamed import RenamedWarning

__all__ = ["add_commands", "app", "main"]

# typer's own class or click's, depending on the version
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_INTERRUPTED = 130

app = typer.Typer(
    name="ke2nt",
    cls=ExtensibleGroup,
    help="Language-guided facial expression recognition.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Language-guided facial expression recognition."""


def add_commands() -> None:
    """Attach every command, once. A new one is one file and one line here."""
    if app.registered_commands:
        return

    from ke2nt.cli import (
        adapt,
        bench,
        blend,
        cache,
        calibrate,
        cross_eval,
        data,
        doctor,
        evaluate,
        explain,
        export,
        few_shot,
        finetune,
        gan,
        predict,
        prompts,
        quickstart,
        train,
        zero_shot,
    )
    from ke2nt.cli import app as app_command

    # groups of commands, then single ones
    app.add_typer(prompts.app, name="prompts")
    app.add_typer(cache.app, name="cache")
    app.add_typer(data.app, name="data")
    app.add_typer(bench.app, name="bench")
    app.add_typer(gan.app, name="gan")
    app.command("train")(train.train)
    app.command("finetune")(finetune.finetune)
    app.command("adapt")(adapt.adapt)
    app.command("evaluate")(evaluate.evaluate)
    app.command("explain")(explain.explain)
    app.command("cross-eval")(cross_eval.cross_eval)
    app.command("blend")(blend.blend)
    app.command("zero-shot")(zero_shot.zero_shot)
    app.command("few-shot")(few_shot.few_shot)
    app.command("calibrate")(calibrate.calibrate)
    app.command("export")(export.export)
    app.command("doctor")(doctor.doctor)
    app.command("predict")(predict.predict)
    app.command("app")(app_command.app)
    app.command("lab", hidden=True)(app_command.app)  # the old name
    app.command("quickstart")(quickstart.quickstart)


class _Outcome(NamedTuple):
    """Exit code of a command, and the line for stderr if it failed."""

    code: int
    message: str = ""


def main() -> None:
    """Run the command line; user errors become one line on stderr and exit code 2."""
    _let_threads_sleep()
    add_commands()
    _end_in_order_on_sigterm()
    warnings.showwarning = _show_warning

    # output may fail after the command: what is printed is flushed last
    outcome = _flush_stdout(_run())
    message = "stopped" if outcome.code == _INTERRUPTED else outcome.message
    if message:
        rank = os.environ.get("RANK", "0")
        prefix = "" if rank == "0" else f"process {rank}: "
        print(f"{prefix}{message}", file=sys.stderr)
    sys.exit(outcome.code)


def _run() -> _Outcome:
    try:
        return _Outcome(app(prog_name="ke2nt", standalone_mode=False) or 0)
    except Ke2ntError as error:
        return _Outcome(error.exit_code, f"error: {error}")
    except _UsageError as error:
        return _Outcome(2, _describe_usage_error(error))
    except OSError as error:
        return _Outcome(2, _describe_system_error(error))
    except (KeyboardInterrupt, typer.Abort):
        return _Outcome(_INTERRUPTED)


def _flush_stdout(outcome: _Outcome) -> _Outcome:
    """Return the outcome after everything is printed, which may fail: disk full, reader gone."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        # Python flushes again at exit, which must not fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            return _Outcome(1)
        return _Outcome(outcome.code or 2, outcome.message or _describe_system_error(error))
    return outcome


def _let_threads_sleep() -> None:
    """Let OpenMP's threads sleep while they wait, unless the user decides otherwise.

    Threads that spin take the cores from the detector and from other programs. The libraries read
    these variables when they are imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")


def _end_in_order_on_sigterm() -> None:
    """Let SIGTERM end the command as Ctrl-C does, so that temporary files are removed."""
    # a launcher's process may wait for the others inside a library, and would not notice
    is_alone = "RANK" not in os.environ
    if is_alone and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _exit_on_signal)


def _exit_on_signal(signum: int, frame: object) -> None:
    raise SystemExit(128 + signum)


def _show_warning(
    message: Warning | str, category: type[Warning], *place: Any, **details: Any
) -> None:
    """Print ke2nt's warnings as one line, and hide those of libraries."""
    if issubclass(category, RenamedWarning | Ke2ntWarning):
        print(f"warning: {message}", file=sys.stderr)


def _describe_system_error(error: OSError) -> str:
    place = "" if error.filename is None else f": {error.filename}"
    return f"error: {error.strerror or error}{place}"


def _describe_usage_error(error: Any) -> str:
    """Return one line for an unknown command or option, or a missing argument."""
    text = " ".join(error.format_message().split())
    if not text:  # a bare `ke2nt` or group, which printed its help
        return ""
    # messages of pydantic leave out the value and the final period
    details = getattr(error.__cause__, "errors", None)
    if details is not None:
        text = f"{text.rstrip('.')}; found {details()[0]['input']!r}"
    end = "" if text.endswith((".", "?", "!")) else "."
    return f"error: {text}{end} Type '{error.ctx.command_path} --help' for help."


if __name__ == "__main__":
    main()
