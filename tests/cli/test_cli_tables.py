"""Tables fit the terminal: names and texts are broken first, and nothing is cut."""

from __future__ import annotations

import pytest
from rich.console import Console

from ke2nt.cli import output

COLUMNS = ["class", "n images", "mean recall %", "gain (interval) %"]
ROWS = [
    ["happiness", 1182, "38.7", "+47.7 (+44.7 to +50.8)"],
    ["one or more of several expressions", 7, "100.0", "0.0 (-1.2 to +3.4)"],
]


def printed(monkeypatch, capsys, width):
    monkeypatch.setattr(output, "_console", lambda: Console(width=width, highlight=False))
    output.print_table(COLUMNS, ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    return lines


@pytest.mark.parametrize("width", [200, 80, 66])
def test_numbers_are_not_broken_if_they_fit(monkeypatch, capsys, width):
    text = "\n".join(printed(monkeypatch, capsys, width))
    for cell in ("+47.7 (+44.7 to +50.8)", "1182", "100.0", "happiness"):
        assert cell in text
    assert ("mean recall %" in text) == (width == 200)
    assert ("several expressions" in text) == (width == 200)


def test_narrow_tables_fold_cells_without_cutting(monkeypatch, capsys):
    lines = printed(monkeypatch, capsys, 30)
    columns = zip(*(line.split("│")[1:-1] for line in lines if line.startswith("│")), strict=True)
    shown = ["".join(part.strip() for part in column).replace(" ", "") for column in columns]
    assert shown == ["".join(str(row[k]) for row in ROWS).replace(" ", "") for k in range(4)]


def test_line_breaks_in_file_names_do_not_break_the_row(monkeypatch, capsys):
    monkeypatch.setattr(output, "_console", lambda: Console(width=80, highlight=False))
    output.print_table(["file", "reason"], [["a\nb\x1b[0m.png", "x"]])
    assert r"a\nb\x1b[0m.png" in capsys.readouterr().out

    output.print_unreadable([("a\nb.png", "empty")])
    assert capsys.readouterr().err == "unreadable: a\\nb.png: empty\n"
