"""The style of code and prose: line lengths, US spelling, functions in commented paragraphs."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ke2nt"
SOURCES = sorted(PACKAGE.rglob("*.py"))
YAML_FILES = [
    *sorted((ROOT / "prompts").glob("*.yaml")),
    *sorted((ROOT / "configs").glob("*.yaml")),
]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

MAX_PROSE = 120
MAX_PLAIN_BODY = 15  # longer functions are set in paragraphs
MAX_BARE_BODY = 25  # longer functions also say why, in a comment
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir())

BRITISH = (
    "analys(e|ed|es|ing)",
    "behaviour",
    "catalogue",
    "centr(e|ed|es|ing)",
    "colour",
    "favour",
    "grey",
    "(general|initial|maxim|minim|normal|optim|organ|quant|recogn|regular|synchron)is(e|ed|er|es|ing|ation)",
    "honour",
    "judgement",
    "label(led|ling)",
    "licence",
    "neighbour",
)
# Old names that are still read, texts in cache keys, and names of other libraries' functions
LEGACY = (
    r'"centres"',  # a stream of random numbers: another name would change results
    r'"centred"',
    r'"grey"',
    r'"grey48"',
    r'"labelled"',
    r'"recognises"',
    r"grey_photo",
    r"grey photo",
    r"normalised mean of normalised",
    r"ke2nt\.models\.recogniser",
    r"Recogniser",
    r"synchronise\(",
    r'"--regularise"',  # the other spelling of an option
)


def prose_lines(path):
    """(number, line) of a page's prose: no code blocks, no tables."""
    in_code = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("```"):
            in_code = not in_code
        elif not in_code and not line.startswith("|"):
            yield number, line


def yaml_texts(path):
    """(number, line) of comments and descriptions; prompts, which are cache keys, are left out."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if "#" in line or line.startswith("description:"):
            yield number, line


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_prose_of_pages_is_not_too_wide(path):
    wide = [f"{path.name}:{number}" for number, line in prose_lines(path) if len(line) > MAX_PROSE]
    assert wide == []


def test_docstrings_and_comments_are_not_too_wide():
    wide = []
    for path in SOURCES:
        for token in tokens(path):
            if token.type == tokenize.COMMENT or token.string.startswith(('"""', 'r"""')):
                lines = token.string.splitlines()
                lines[0] = " " * token.start[1] + lines[0]
                wide += [place(path, token.start[0]) for line in lines if len(line) > MAX_PROSE]
    assert wide == []


def test_yaml_texts_are_not_too_wide():
    wide = [
        place(path, number)
        for path in YAML_FILES
        for number, line in yaml_texts(path)
        if len(line) > MAX_PROSE
    ]
    assert wide == []


@pytest.mark.parametrize("word", BRITISH)
def test_us_spelling(word):
    pattern = re.compile(rf"(?<![a-z]){word}(?![a-z])", re.IGNORECASE)
    legacy = re.compile("|".join(LEGACY))
    found = []
    for path in [*SOURCES, *PAGES]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if pattern.search(legacy.sub("", line)):
                found.append(place(path, number))
    for path in YAML_FILES:
        for number, line in yaml_texts(path):
            if pattern.search(legacy.sub("", line)):
                found.append(place(path, number))
    assert found == []


@pytest.mark.parametrize("room", ROOMS)
def test_long_functions_are_set_in_paragraphs(room):
    paths = [PACKAGE / room] if room.endswith(".py") else sorted((PACKAGE / room).rglob("*.py"))
    dense = []
    for path in paths:
        comments = {token.start[0] for token in tokens(path) if token.type == tokenize.COMMENT}
        lines = path.read_text(encoding="utf-8").splitlines()
        for function in functions(path):
            first, last = body_range(function)
            body = range(first, last + 1)
            has_blank = any(not lines[number - 1].strip() for number in body)
            has_comment = any(number in comments for number in body)
            dense_body = len(body) > MAX_PLAIN_BODY and not has_blank
            if dense_body or (len(body) > MAX_BARE_BODY and not has_comment):
                dense.append(f"{place(path, function.lineno)} {function.name}")
    assert dense == []


def tokens(path):
    return tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)


def functions(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not (len(node.body) == 1 and ast.get_docstring(node) is not None)
    ]


def body_range(function):
    """First and last line of a function's body, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[0].lineno, function.end_lineno


def place(path, number):
    return f"{path.relative_to(ROOT)}:{number}"
