"""Files of sentences that other programs wrote for each class: JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ke2nt.errors import PromptError
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["read_sentences"]

_MAX_BYTES = 50_000_000
_CLASS_COLUMNS = ("class", "label", "class_name", "classname", "category", "expression", "emotion")
_TEXT_COLUMNS = (
    *("sentence", "prompt", "description", "descriptor", "text", "caption"),
    *("sentences", "prompts", "descriptions", "descriptors"),
)


def read_sentences(path: Path) -> dict[str, list[str]]:
    """Read class → sentences.

    JSON is {class: [sentence, …]}, {class: sentence} or {class: {question: [sentence, …]}}, as
    CuPL, DCLIP and WaffleCLIP write it. CSV has a column for the class and one for a sentence,
    under any of their usual names.

    Raises:
        PromptError: The file cannot be read, or is neither, with line and column; a class is named
            twice, or a sentence is empty or no text.
    """
    text = _read_text(path)
    suffix = path.suffix.lower()
    if suffix not in (".json", ".csv", ".tsv"):
        raise PromptError(
            "the kind of file is not known", expected=".json, .csv or .tsv", where=path
        )
    sentences = _read_json(text, path) if suffix == ".json" else _read_csv(text, path)
    if not sentences:
        raise PromptError("there are no sentences", where=path)
    return sentences


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise PromptError(
                "the file is too large", expected=f"at most {_MAX_BYTES:,} bytes", where=path
            )
        data = path.read_bytes()
    except OSError as error:
        raise PromptError("cannot read the file", found=error.strerror, where=path) from None

    # spreadsheets write UTF-16 with its mark
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PromptError(
            "the file is not UTF-8 text",
            found=f"the byte 0x{data[error.start]:02x}",
            where=f"{path}, line {line}",
        ) from None


# ---- JSON


def _read_json(text: str, path: Path) -> dict[str, list[str]]:
    def refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise PromptError(
                f"{repeated!r} is there twice", where=f"{path}{_second_line(text, repeated)}"
            )
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=refuse_repeated)
    except json.JSONDecodeError as error:
        place = f"{path}, line {error.lineno}, column {error.colno}"
        raise PromptError(f"not valid JSON: {error.msg}", where=place) from None
    except RecursionError:
        raise PromptError("not valid JSON: nested too deeply", where=path) from None

    if not isinstance(value, dict):
        raise PromptError(
            "not a file of sentences",
            expected='{"class": ["sentence", …]} or {"class": {"question": ["sentence", …]}}',
            found=f"a {type(value).__name__}",
            where=path,
        )

    # the place of a sentence is part of every message about it
    return {
        name: [
            _check_sentence(text, f"{path}, class {name!r}, {place}")
            for place, text in _list_texts(each, f"{path}, class {name!r}")
        ]
        for name, each in value.items()
    }


def _list_texts(value: Any, where: str) -> Iterable[tuple[str, Any]]:
    """Yield (place, text) of the sentences of one class."""
    if isinstance(value, str):
        return [("entry 1", value)]
    if isinstance(value, list):
        return [(f"entry {number}", text) for number, text in enumerate(value, start=1)]

    # question → answers
    if isinstance(value, dict):
        listed = []
        for question, answers in value.items():
            several = answers if isinstance(answers, list) else [answers]
            listed += [
                (f"question {question!r:.60}, entry {number}", text)
                for number, text in enumerate(several, start=1)
            ]
        return listed
    raise PromptError(
        "not a list of sentences",
        expected='["sentence", …] or {"question": ["sentence", …]}',
        found=repr(value)[:60],
        where=where,
    )


def _second_line(text: str, name: str) -> str:
    """Where a name of JSON occurs for the second time, as text for a message."""
    found = list(re.finditer(re.escape(json.dumps(name, ensure_ascii=False)) + r"\s*:", text))
    if len(found) < 2:
        return ""
    before = text[: found[1].start()]
    column = len(before) - before.rfind("\n")
    return f", line {before.count(chr(10)) + 1}, column {column}"


# ---- CSV


def _read_csv(text: str, path: Path) -> dict[str, list[str]]:
    # a header tells the separator: names of columns have none of these signs
    header_line = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=header_line.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)

    sentences: dict[str, list[str]] = {}
    columns: tuple[int, int] | None = None
    try:
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if columns is None:
                columns = _find_columns(row, path)
                continue
            name, sentence = _read_row(row, columns, f"{path}, line {rows.line_num}")
            sentences.setdefault(name, []).append(sentence)
    except csv.Error as error:
        raise PromptError(
            f"not valid CSV: {error}", where=f"{path}, line {rows.line_num}"
        ) from None
    return sentences


def _find_columns(header: list[str], path: Path) -> tuple[int, int]:
    """Positions of the columns of classes and of sentences."""
    names = [name.strip().lower() for name in header]
    positions = []
    for kind, known in (("classes", _CLASS_COLUMNS), ("sentences", _TEXT_COLUMNS)):
        found = [index for index, name in enumerate(names) if name in known]
        if len(found) != 1:
            hints = [did_you_mean(name, known) for name in names if name not in known]
            raise PromptError(
                f"{'no' if not found else 'more than one'} column of {kind}",
                expected=f"one called {known[0]}, or {', '.join(known[1:3])}",
                found=", ".join(header),
                where=f"{path}, line 1",
                hint=next(filter(None, hints), None),
            )
        positions.append(found[0])
    return positions[0], positions[1]


def _read_row(row: list[str], columns: tuple[int, int], where: str) -> tuple[str, str]:
    if len(row) <= max(columns):
        raise PromptError(
            "a row is too short",
            expected=f"{max(columns) + 1} columns",
            found=len(row),
            where=where,
        )
    name = row[columns[0]].strip()
    if not name:
        raise PromptError("the class is empty", where=f"{where}, column {columns[0] + 1}")
    return name, _check_sentence(row[columns[1]], f"{where}, column {columns[1] + 1}")


def _check_sentence(text: Any, where: str) -> str:
    if not isinstance(text, str):
        raise PromptError("a sentence is not text", found=repr(text)[:60], where=where)
    sentence = " ".join(text.split())
    if not sentence:
        raise PromptError("a sentence is empty", where=where)
    return sentence
