"""A table as LaTeX, Markdown and HTML, with every text escaped."""

from __future__ import annotations

import html

from ke2nt.tables.printed import format_rows
from ke2nt.tables.table import Table

__all__ = ["to_html", "to_latex", "to_markdown"]

# after a line break or \midrule, LaTeX would read "[" and "*" as arguments
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "[": "{[}",
        "*": "{*}",
        "–": "--",
        "±": r"$\pm$",
        "−": "$-$",
        "→": r"$\rightarrow$",
        "×": r"$\times$",
    }
)
_MARKDOWN = str.maketrans({character: f"\\{character}" for character in "\\|*_`<[]"})


def to_latex(table: Table) -> str:
    r"""Format as a `tabular` with the rules of the package booktabs; goes into a `table`."""
    columns = [table.columns[k] for k in table.printed]
    alignment = "".join("r" if column.is_number else "l" for column in columns)

    lines = [
        "% needs \\usepackage{booktabs}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        _latex_row([column.title for column in columns]),
        r"\midrule",
        *map(_latex_row, format_rows(table)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex_row(cells: list[str]) -> str:
    return " & ".join(map(_escape_latex, cells)) + r" \\"


def _escape_latex(text: str) -> str:
    return " ".join(text.split()).translate(_LATEX)


def to_markdown(table: Table) -> str:
    """Format as a Markdown table; numbers align right."""
    columns = [table.columns[k] for k in table.printed]
    rules = ["---:" if column.is_number else "---" for column in columns]
    rows = [[column.title for column in columns], *format_rows(table)]
    lines = ["| " + " | ".join(map(_escape_markdown, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join(rules) + "|", *lines[1:]]) + "\n"


def _escape_markdown(text: str) -> str:
    return " ".join(text.split()).translate(_MARKDOWN)


def to_html(table: Table) -> str:
    """Format as an HTML `table`, such as a notebook shows."""
    columns = [table.columns[k] for k in table.printed]
    sides = ["right" if column.is_number else "left" for column in columns]
    head = _html_row("th", [column.title for column in columns], sides)
    body = [_html_row("td", row, sides) for row in format_rows(table)]
    return "\n".join(["<table>", f"<thead>{head}</thead>", "<tbody>", *body, "</tbody></table>"])


def _html_row(tag: str, cells: list[str], sides: list[str]) -> str:
    texts = [
        f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>'
        for cell, side in zip(cells, sides, strict=True)
    ]
    return f"<tr>{''.join(texts)}</tr>"
