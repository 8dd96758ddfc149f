"""Text files of annotations: encodings, line ends, and paths of other systems."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from ke2nt.errors import DataError

__all__ = ["location", "portable_path", "read_lines", "read_text"]

# Byte-order marks → encoding; Excel's "Unicode text" is UTF-16
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def location(path: Path, line: int) -> str:
    """File and line of an error, for messages."""
    return f"{path}, line {line}"


def read_text(path: Path, *, limit: int = -1) -> str:
    """Read a UTF-8 or UTF-16 text file, without byte-order mark and with plain newlines.

    Args:
        path: The file.
        limit: Most bytes to read, which may end within a character; all by default.

    Raises:
        DataError: The file is missing, or in another encoding.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(limit)
        encoding = _MARKS.get(content[:2], "utf-8-sig")
        text = content.decode(encoding, "strict" if limit < 0 else "ignore")
    except (OSError, ValueError) as error:
        unicode_error = isinstance(error, UnicodeError)
        raise DataError(
            "a text file cannot be read",
            where=path,
            found=error,
            hint="Save it as UTF-8 text." if unicode_error else None,
        ) from error

    if "\0" in text:
        raise DataError("a text file holds zero bytes", where=path, expected="UTF-8 text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line number (from 1) and stripped text of every line that is not blank."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def portable_path(text: str) -> Path:
    """A path from an annotation file; Windows backslashes are read as slashes."""
    return Path(text.replace("\\", "/"))
