"""File names as text that can be printed and written, whatever bytes they hold."""

from __future__ import annotations

import os

__all__ = ["printable_name"]


def printable_name(name: str | os.PathLike[str]) -> str:
    r"""Return a file name as text; bytes that are not UTF-8 become escapes such as `\xe9`.

    Python holds such bytes as lone surrogates, which no terminal and no JSON or CSV file takes.
    """
    text = os.fspath(name)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text
