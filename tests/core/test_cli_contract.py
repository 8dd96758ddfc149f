"""Results on stdout, errors as one line on stderr with exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer

from ke2nt import __version__
from ke2nt.cli import main as cli
from ke2nt.cli import output
from ke2nt.errors import DataError


def started(*args):
    """Run the program in its own process."""
    return subprocess.run(
        [sys.executable, "-m", "ke2nt", *args], capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def run(monkeypatch, capfd):
    """Run `main` with a small app whose only command calls `work`."""

    def run(work, *args):
        app = typer.Typer(context_settings=cli.app.info.context_settings, no_args_is_help=True)
        app.command("work")(work)
        app.command("other")(lambda: None)
        monkeypatch.setattr(cli, "app", app)
        monkeypatch.setattr(cli, "add_commands", lambda: None)
        monkeypatch.setattr(sys, "argv", ["ke2nt", *(args or ["work"])])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, *capfd.readouterr()

    return run


def raises(error):
    def work():
        raise error

    return work


def test_help_lists_every_group():
    done = started("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for group in ("prompts", "cache", "data", "train", "evaluate", "quickstart"):
        assert f" {group} " in done.stdout


def test_version():
    done = started("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["promtps"], "No such command 'promtps'"),
        (["prompts", "list", "--jsn"], "--jsn"),
        (["prompts", "show"], "Missing argument 'NAME'"),
        (["prompts", "show", "papr", "--json"], "Did you mean 'paper'?"),
        (["predict", "a.jpg", "--workers", "0"], "or equal to 1; found '0'. Type 'ke2nt predict"),
        (["predict", "a.jpg", "--engine", "x"], "'onnx'; found 'x'. Type 'ke2nt predict"),
    ],
)
def test_errors_are_one_line(args, words):
    done = started(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


def test_success(run):
    assert run(lambda: print("ok")) == (0, "ok\n", "")


def test_user_errors(run):
    error = DataError("no faces", where="x", hint="Look there.")
    assert run(raises(error)) == (2, "", "error: no faces (in x). Look there.\n")


def test_exit_codes_of_commands(run):
    assert run(raises(typer.Exit(3))) == (3, "", "")


def test_files_that_cannot_be_used(run):
    error = PermissionError(13, "Permission denied", "/x")
    assert run(raises(error)) == (2, "", "error: Permission denied: /x\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()])
def test_interrupts(run, error):
    assert run(raises(error)) == (130, "", "stopped\n")


def test_bugs_keep_their_traceback(run):
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0)


def test_usage_errors_name_the_help(run):
    code, out, err = run(lambda: None, "work", "extra")
    assert (code, out) == (2, "")
    assert "Type 'ke2nt work --help' for help.\n" in err
    assert err.count("\n") == 1


def test_bare_command_prints_help(run):
    code, out, err = run(lambda: None, "--help")
    assert (code, err) == (0, "")
    assert "work" in out


def test_json_is_one_document(capsys):
    output.print_json({"a": ["ä", 1]})
    out = capsys.readouterr().out
    assert "ä" in out
    assert json.loads(out) == {"a": ["ä", 1]}
    with pytest.raises(ValueError):
        output.print_json(float("nan"))


def test_tables_take_text_literally(capsys):
    output.print_table(["name", "n faces"], [["[bold]x[/]", 3], ["[/red]", "[a]"]], title="[b]t")
    out = capsys.readouterr().out
    assert all(text in out for text in ("[bold]x[/]", "[/red]", "[a]", "[b]t"))


def test_rows_are_not_cut_on_a_pipe(capsys):
    output.print_table(["a", "b"], [["x" * 90, "y" * 90]])
    output.print_line("[z]" * 100)
    out = capsys.readouterr().out
    assert "x" * 90 in out
    assert "[z]" * 100 in out
