"""Command lines of the pages, run one after another in one process of their own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_RUNNER = """
import io, json, sys, contextlib
from ke2nt.cli import main as command_line
codes = []
for words in json.load(open(sys.argv[1])):
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["ke2nt", *words]
    command_line.app.registered_commands.clear()
    command_line.app.registered_groups.clear()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(out):
        try:
            command_line.main()
        except SystemExit as end:
            codes.append([end.code, out.getvalue(), err.getvalue()])
print(json.dumps(codes))
"""


def run_lines(lines: Sequence[str], cwd: Path, *, before: str = "") -> list[tuple[str, str]]:
    """Run `ke2nt …` lines; what each prints on stdout and on stderr. Each must succeed.

    Args:
        lines: Command lines as a shell reads them.
        cwd: Where they run.
        before: Python that the process runs first.
    """
    todo = cwd / "todo.json"
    todo.write_text(json.dumps([shlex.split(line)[1:] for line in lines]))
    done = subprocess.run(
        [sys.executable, "-c", before + _RUNNER, str(todo)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    printed = []
    for line, (code, out, errors) in zip(lines, json.loads(done.stdout), strict=True):
        assert code == 0, f"{line}\n{errors}"
        printed.append((out, errors))
    return printed
