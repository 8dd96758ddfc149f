"""Text files of annotations: encodings, line ends, and paths of other systems."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from ke2nt.errors import DataError

__all__ = ["location", "portable_path", "read_lines", "read_text"]

# Byte-order marks → encoding, the longest first; Excel's "Unicode text" is UTF-16
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# First bytes of what is often saved under the name of a list
_NO_LISTS = {
    b"version https://git-lfs": ("a Git LFS pointer", "Type: git lfs pull in the folder."),
    b"<!doctype": ("a web page (HTML)", "Download the file itself."),
    b"<html": ("a web page (HTML)", "Download the file itself."),
    b"pk\x03\x04": ("a zip archive or an Excel file", "Unpack it, or export it as CSV."),
    b"\x1f\x8b": ("a gzip archive", "Unpack it first."),
    b"par1": ("a Parquet file", "Use the dataset huggingface, or write it as CSV."),
}


def location(path: Path, line: int) -> str:
    """File and line of an error, for messages."""
    return f"{path}, line {line}"


def read_text(path: Path, *, limit: int = -1) -> str:
    """Read a UTF-8, UTF-16 or UTF-32 text file, without byte-order mark and with plain newlines.

    Args:
        path: The file.
        limit: Most bytes to read, which may end within a character; all by default.

    Raises:
        DataError: The file is missing, in another encoding, or no text.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(limit)
    except (OSError, ValueError) as error:
        raise DataError("a text file cannot be read", where=path, found=error) from error

    # pages and pointers are text, too, so that they are told before decoding
    start = content[:32].lstrip().lower()
    for signature, (found, hint) in _NO_LISTS.items():
        if start.startswith(signature):
            raise DataError("a text file is none", where=path, found=found, hint=hint)
    try:
        text = content.decode(_encoding(content), "strict" if limit < 0 else "ignore")
    except UnicodeError as error:
        line = content.count(b"\n", 0, getattr(error, "start", 0)) + 1
        raise DataError(
            "a text file cannot be read as UTF-8",
            where=location(path, line),
            found=error,
            hint="Save it as UTF-8. If it comes from Windows, type: "
            "iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW (WINDOWS-1251 for Cyrillic)",
        ) from error

    if "\0" in text:
        raise DataError("a text file holds zero bytes", where=path, expected="UTF-8 text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _encoding(content: bytes) -> str:
    """The encoding by the byte-order mark or, without one, by where zero bytes are."""
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return encoding

    # plain letters in UTF-16 have a zero byte each
    head = content[:64]
    low, high = head[::2].count(0), head[1::2].count(0)
    if max(low, high) > len(head) // 4 and min(low, high) == 0:
        return "utf-16-le" if high else "utf-16-be"
    return "utf-8-sig"


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line number (from 1) and stripped text of every line that is not blank."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def portable_path(text: str) -> Path:
    """A path from an annotation file; backslashes are read as slashes, file:// as a local path."""
    return Path(re.sub(r"^file:/*(?=[A-Za-z]:|/)", "", text.replace("\\", "/")))
