"""The server that runs commands for other tests."""

from __future__ import annotations

from command_line import run_ke2nt


def test_errors_before_the_command_end_its_process_alone():
    done = run_ke2nt("--version", before="1 / 0")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert done.stdout == ""
    assert run_ke2nt("--version").returncode == 0
