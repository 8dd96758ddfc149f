"""Reads the YAML of a prompt set: plain values, no duplicate keys, no aliases, bounded size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ke2nt.errors import PromptError
from ke2nt.runtime.plain_yaml import PlainLoader

__all__ = ["MAX_BYTES", "read_yaml"]

MAX_BYTES = 1_000_000


class _Loader(PlainLoader):
    """Refuses aliases, too: a small file can expand without end."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not allowed", problem_mark=mark)
        return super().compose_node(parent, index)


def read_yaml(path: Path) -> dict[Any, Any]:
    """Read the mapping in a YAML file.

    Raises:
        PromptError: The file cannot be read, is over `MAX_BYTES`, is not UTF-8, is not valid YAML
            (with the line), or does not hold a mapping.
    """
    text = _decode(_read_bytes(path), path)
    value = _parse(text, path)
    if not isinstance(value, dict):
        kind = "an empty file" if value is None else f"a {type(value).__name__}"
        raise PromptError("not a prompt set", expected="keys and values", found=kind, where=path)
    return value


def _read_bytes(path: Path) -> bytes:
    """Read a file of bounded size: what is no prompt set may be huge."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PromptError("cannot read the prompt file", found=error.strerror, where=path) from None
    if len(data) > MAX_BYTES:
        raise PromptError(
            "the prompt file is too large",
            expected=f"at most {MAX_BYTES:,} bytes",
            where=path,
            hint="Is it a prompt set?",
        )
    return data


def _decode(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PromptError(
            "the prompt file is not UTF-8 text",
            found=f"the byte 0x{data[error.start]:02x}",
            where=f"{path}, line {line}",
        ) from None


def _parse(text: str, path: Path) -> Any:
    """Parse YAML; every failure of the library becomes a PromptError."""
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        raise _describe_marked(error, text, path) from None
    except yaml.reader.ReaderError as error:
        raise PromptError(f"not valid YAML: {error.reason}", where=path) from None
    except RecursionError:
        raise PromptError("not valid YAML: nested too deeply", where=path) from None
    except (ValueError, AttributeError, TypeError) as error:  # a bad date, number or tagged value
        raise PromptError(f"not valid YAML: {error}", where=path) from None


def _describe_marked(error: yaml.MarkedYAMLError, text: str, path: Path) -> PromptError:
    """Return an error with the line, and a hint about the usual cause."""
    problem = ", ".join(filter(None, (error.context, error.problem)))
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return PromptError(f"not valid YAML: {problem}", where=path)

    # an unquoted {class} at the start of a value reads as a YAML mapping
    has_brace = "{" in "".join(text.splitlines()[mark.line : mark.line + 1])
    return PromptError(
        f"not valid YAML: {problem}",
        where=f"{path}, line {mark.line + 1}",
        hint="Put quotes around text that has a brace." if has_brace else None,
    )
