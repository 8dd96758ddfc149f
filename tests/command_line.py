"""Run `ke2nt …` as a user types it, from a process that has already imported the libraries.

Starting Python and importing torch costs seconds, a hundred times in this suite. So one process for
each test worker imports everything once and forks for every command: the child gets its own folder,
environment and streams, as from a shell, and ends as any program ends. Its HTML reports have no
plots, which take longer to draw than a tiny training: `tests/pages` draws them all. Tests of what
is imported fork from a second process, which has imported only what `ke2nt --help` needs.
`tests/core/test_cli_contract.py` starts the program in the normal way.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import pkgutil
import shlex
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# what commands import on the way, besides the modules of ke2nt
_IMPORTED = (
    "av",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "matplotlib.pyplot",
    "onnxruntime",
    "open_clip",
    "packaging.requirements",
    "pandas",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "PIL.PpmImagePlugin",
    "platformdirs",
    "pyarrow.csv",
    "pyarrow.parquet",
    "rich._emoji_codes",
    "scipy.optimize",
    "sklearn.metrics",
    "timm",
    "torch",
    "transformers.models.bert.modeling_bert",
    "transformers.models.bert.tokenization_bert",
)

# gradio takes seconds; a program runs when it is imported
_NOT_IMPORTED = ("ke2nt.__main__", "ke2nt.app.server")


def run_ke2nt(
    *words: object, cwd: Path | None = None, env: Mapping[str, str] | None = None, before: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run one command.

    Args:
        words: Arguments after `ke2nt`.
        cwd: Working directory; by default that of the test.
        env: Environment variables in addition to those of the test.
        before: Python code that the process runs first.
    """
    return _run([_command(words, cwd, env or {}, before)])[0]


def run_unimported(
    *words: object, cwd: Path | None = None, env: Mapping[str, str] | None = None, before: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run one command in a process that has only imported the command line, as a new one does.

    The code `before` may import; the other arguments are those of `run_ke2nt`.
    """
    return _run([_command(words, cwd, env or {}, before)], bare=True)[0]


def run_ke2nt_twice(
    *words: object, cwd: Path | None = None, before: str = ""
) -> list[subprocess.CompletedProcess[str]]:
    """Run one command in two processes that form a group, as `torchrun` starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    ranks = [{"RANK": rank, "LOCAL_RANK": rank, **group} for rank in ("0", "1")]
    return _run([_command(words, cwd, rank, before) for rank in ranks])


def run_lines(lines: Sequence[str], cwd: Path, *, before: str = "") -> list[tuple[str, str]]:
    """Run `ke2nt …` lines one after another; return stdout and stderr of each.

    Args:
        lines: Command lines as a shell reads them. Each must succeed.
        cwd: Where they run.
        before: Python code that each process runs first.
    """
    printed = []
    for line in lines:
        done = run_ke2nt(*shlex.split(line)[1:], cwd=cwd, before=before)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        printed.append((done.stdout, done.stderr))
    return printed


def _command(
    words: Sequence[object], cwd: Path | None, env: Mapping[str, str], before: str
) -> dict[str, Any]:
    return {
        "words": [str(word) for word in words],
        "cwd": str(cwd or Path.cwd()),
        "env": {**os.environ, **env},
        "before": before,
    }


def _run(
    commands: list[dict[str, Any]], *, bare: bool = False
) -> list[subprocess.CompletedProcess[str]]:
    server = _server(bare)
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as scratch:
        for i, command in enumerate(commands):
            command["streams"] = [f"{scratch}/out{i}", f"{scratch}/err{i}"]

        # one line with all commands, and one line with their exit codes
        try:
            server.stdin.write(json.dumps(commands) + "\n")
            server.stdin.flush()
            codes = json.loads(server.stdout.readline())
        except BaseException:  # a test that timed out: the next one must not read its reply
            server.kill()
            _server.cache_clear()
            raise

        return [
            subprocess.CompletedProcess(
                ["ke2nt", *command["words"]],
                code,
                *(Path(name).read_text(encoding="utf-8") for name in command["streams"]),
            )
            for command, code in zip(commands, codes, strict=True)
        ]


@functools.cache
def _server(bare: bool) -> subprocess.Popen[str]:
    """Start a server; it ends with this process, when its input is closed."""
    return subprocess.Popen(
        [sys.executable, "-c", f"import command_line; command_line.serve(bare={bare})"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )


def serve(*, bare: bool) -> None:
    """Read lines of commands that start together; reply with their exit codes."""
    from ke2nt.cli.main import add_commands

    add_commands()
    if not bare:
        _import_all()
        leave_plots_out(setattr)
    for line in iter(sys.stdin.readline, ""):
        children = []
        for command in json.loads(line):
            child = os.fork()
            if child == 0:
                _run_and_end(command)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(codes), flush=True)


def _import_all() -> None:
    """Import what commands import, so that forked ones find it in memory.

    What is not installed is left out: tests that need it are skipped.
    """
    import ke2nt

    modules = pkgutil.walk_packages(ke2nt.__path__, "ke2nt.")
    names = [module.name for module in modules if module.name not in _NOT_IMPORTED]
    for name in (*_IMPORTED, *names):
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)


def leave_plots_out(replace: Callable[[Any, str, Any], None]) -> None:
    """Write HTML reports without drawing their plots.

    Args:
        replace: `setattr`, or pytest's method that undoes the change.
    """
    from ke2nt.pages import embedded_plots, render

    def embed(*arguments: Any, alt: str) -> embedded_plots.EmbeddedPlot:
        return embedded_plots.EmbeddedPlot("", "", alt)

    for module in (embedded_plots, render):
        replace(module, "embed_plot", embed)


def _become(command: Mapping[str, Any]) -> None:
    """In the child: switch to the command's folder, streams, environment and arguments."""
    os.chdir(command["cwd"])
    os.environ.clear()
    os.environ.update(command["env"])
    for number, name in enumerate([os.devnull, *command["streams"]]):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        opened = os.open(name, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.argv = ["ke2nt", *command["words"]]
    sys.path[0] = ""
    if command["before"]:
        exec(command["before"], {})


def _run_and_end(command: Mapping[str, Any]) -> None:
    """Run the command and end as Python does, but without the cleanup of C libraries.

    That cleanup may wait for threads, which a fork does not have.
    """
    code = 1
    try:
        _become(command)
        from ke2nt.cli.main import main

        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
