"""Groups of options: declared once, shown in the help, and passed as one object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from ke2nt.cli.option_groups import with_option_groups


@dataclass(frozen=True)
class SizeOptions:
    height: Annotated[int, typer.Option("--height", min=1, help="Pixels.")]
    width: Annotated[int, typer.Option("--width", help="Pixels, too.")] = 64


@dataclass(frozen=True)
class WideOptions(SizeOptions):
    width: Annotated[int, typer.Option("--width", help="Many pixels.")] = 512


def run(command, *words):
    app = typer.Typer()
    app.command()(with_option_groups(command))
    return CliRunner().invoke(app, words)


@pytest.fixture
def calls():
    return []


@pytest.fixture
def draw(calls):
    def draw(
        name: Annotated[str, typer.Argument()],
        size: SizeOptions,
        bold: Annotated[bool, typer.Option("--bold")] = False,
    ) -> None:
        """Draw something."""
        calls.append((name, size, bold))

    return draw


def test_a_group_is_passed_as_one_object(draw, calls):
    assert run(draw, "face", "--height", "3", "--bold").exit_code == 0
    assert run(draw, "face", "--height", "3", "--width", "5").exit_code == 0
    assert calls == [("face", SizeOptions(3, 64), True), ("face", SizeOptions(3, 5), False)]


@pytest.mark.parametrize(
    ("words", "message"), [(["face"], "--height"), (["face", "--height", "0"], "--height")]
)
def test_options_of_a_group_are_checked(draw, calls, words, message):
    done = run(draw, *words)
    assert done.exit_code == 2
    assert message in done.output
    assert calls == []


def test_the_help_shows_options_and_defaults(draw):
    text = run(draw, "--help").output
    for words in ("Draw something.", "--height", "--width", "Pixels, too.", "64", "--bold"):
        assert words in text


def test_a_subclass_changes_a_default(calls):
    def draw(size: WideOptions) -> None:
        calls.append(size)

    assert "512" in run(draw, "--help").output
    assert run(draw, "--height", "3").exit_code == 0
    assert calls == [WideOptions(3, 512)]


def test_two_options_with_one_name_are_refused():
    def draw(size: SizeOptions, width: int = 3) -> None: ...

    with pytest.raises(TypeError, match="draw has two options named width"):
        with_option_groups(draw)


def test_groups_of_local_classes_need_evaluated_annotations(draw):
    """Annotations are strings here; they are evaluated in the module of the command."""
    assert all(isinstance(hint, str) for hint in draw.__annotations__.values())
    hints = with_option_groups(draw).__annotations__
    assert list(hints) == ["name", "height", "width", "bold"]
