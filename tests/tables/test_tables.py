"""Tables as CSV, LaTeX, Markdown and HTML: units, intervals, escaping, files."""

from __future__ import annotations

import csv
import io
import re
import statistics
from html.parser import HTMLParser

import pytest

from ke2nt.errors import ConfigError
from ke2nt.tables.csv_table import to_csv
from ke2nt.tables.markup import to_html, to_latex, to_markdown
from ke2nt.tables.printed import format_cell
from ke2nt.tables.table import Column, Estimate, Table
from ke2nt.tables.write import check_table_file, write_tables

SPECIAL = "50% of a_b & {c} #1 $x^2~\\ <d> | [e] *f* `g`"
TABLE = Table(
    [
        Column("model", "model"),
        Column("n", "images", "count"),
        Column("uar", "UAR %", "share"),
        Column("gain", "gain", "difference"),
        Column("p", "p", "number", digits=3),
        Column("error", "error", "detail"),
    ],
    [
        [SPECIAL, 60, Estimate(0.845, (0.832, 0.857)), 0.0123, 0.04567, None],
        ["broken", None, None, None, None, "no such\nfolder"],
    ],
)


def read_csv(table):
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def test_csv_has_unrounded_numbers_in_columns():
    first, second = read_csv(TABLE)
    assert first["model"] == SPECIAL
    assert float(first["uar"]) == 0.845
    assert (float(first["uar_low"]), float(first["uar_high"])) == (0.832, 0.857)
    assert float(first["gain"]) == 0.0123
    assert second == {**dict.fromkeys(second, ""), "model": "broken", "error": "no such folder"}
    assert "uar_sd" not in first


def test_repeats_have_mean_and_sample_deviation():
    values = [0.6, 0.7, 0.75]
    table = Table([Column("uar", "UAR %", "share")], [[Estimate.from_repeats(values)], [0.5]])
    first, second = read_csv(table)
    assert float(first["uar"]) == pytest.approx(sum(values) / 3)
    assert float(first["uar_sd"]) == pytest.approx(statistics.stdev(values))
    assert second == {"uar": "0.5", "uar_sd": ""}
    assert r"68.3 $\pm$ 7.6 \\" in to_latex(table)
    assert Estimate.from_repeats([0.5]) == Estimate(0.5)


@pytest.mark.parametrize(
    ("cell", "kind", "text"),
    [
        (0.845, "share", "84.5"),
        (Estimate(0.845, (0.832, 0.857)), "share", "84.5 (83.2–85.7)"),
        (Estimate(-0.012, (-0.03, 0.0)), "difference", "-1.2 (-3.0 to 0.0)"),
        (0.004, "difference", "+0.4"),
        (-0.0001, "difference", "0.0"),
        (1234, "count", "1234"),
        (None, "share", "–"),
        (Estimate(None), "share", "–"),
        (None, "text", ""),
        (0.25, "number", "0.2"),
    ],
)
def test_printed_cells(cell, kind, text):
    assert format_cell(cell, Column("x", "x", kind)) == text


def unescape_latex(text):
    """Read back what LaTeX would print."""
    words = {"backslash": "\\", "asciitilde": "~", "asciicircum": "^", "less": "<"}
    words |= {"greater": ">", "bar": "|"}
    text = re.sub(r"\\text(\w+?)\{\}", lambda match: f"\0{words[match[1]]}\0", text)
    text = re.sub(r"\{([\[*])\}", r"\1", text)
    return re.sub(r"\\([&%$#_{}])", r"\1", text).replace("\0", "")


def test_latex_is_a_tabular_with_escaped_texts():
    lines = to_latex(TABLE).splitlines()
    assert lines[1:3] == [r"\begin{tabular}{lrrrr}", r"\toprule"]
    assert lines[3] == r"model & images & UAR \% & gain & p \\"
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    name, *numbers = re.split(r"(?<!\\) & ", lines[5].removesuffix(r" \\"))
    assert unescape_latex(name) == " ".join(SPECIAL.split())
    assert numbers == ["60", "84.5 (83.2--85.7)", "+1.2", "0.046"]
    assert lines[6] == r"broken & -- & -- & -- & -- \\"

    # braces balance, and no character is left that LaTeX would act on
    bare = re.sub(r"\\[a-z]+\{\}|\\[&%$#_{}]|\{[\[*]\}", "", name)
    assert not set(bare) & set("\\&%$#_{}~^<>|[*")


@pytest.mark.parametrize("start", ["[a]", "*a"])
def test_latex_row_does_not_begin_with_an_argument(start):
    text = to_latex(Table([Column("x", "x")], [["b"], [start]]))
    assert not re.search(r"(\\\\|\\midrule)\s*[\[*]", text)


def test_markdown_has_as_many_cells_as_columns():
    lines = to_markdown(TABLE).splitlines()
    assert lines[1] == "|---|---:|---:|---:|---:|"
    for line in lines:
        assert len(re.findall(r"(?<!\\)\|", line)) == 6


def test_html_is_escaped():
    texts = []
    parser = HTMLParser()
    parser.handle_data = texts.append
    parser.feed(to_html(TABLE))
    assert SPECIAL in texts
    assert "no such\nfolder" not in texts


def test_further_tables_go_beside_the_main_one(tmp_path):
    other = Table([Column("x", "x")], [["1"]], name="classes")
    written = write_tables(tmp_path / "new" / "r.csv", [TABLE, other])
    assert [path.name for path in written] == ["r.csv", "r-classes.csv"]
    assert written[1].read_text() == "x\n1\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("r.xls", "no table format has the suffix '.xls'"),
        ("r", "expected .csv, .tex, .md"),
        ("folder.csv", "found a folder"),
        ("file/r.csv", "cannot create the output folder"),
    ],
)
def test_bad_table_files(tmp_path, name, text):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=re.escape(text)):
        check_table_file(tmp_path / name)
