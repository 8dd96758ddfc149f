"""Every problem of a prompt set in plain words, from pydantic's errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from ke2nt.errors import PromptError
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["Problems", "PromptSetError", "list_problems"]


class Problems(ValueError):
    """Carries problems found across fields through pydantic."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class PromptSetError(PromptError):
    """A prompt set is not valid.

    Attributes:
        problems: Each problem as a sentence.
    """

    def __init__(self, problems: Sequence[str], *, where: object = None) -> None:
        self.problems = tuple(problems)
        found = None
        if len(self.problems) > 1:
            found = "; ".join(f"({i}) {text}" for i, text in enumerate(self.problems, start=1))
        message = f"{len(self.problems)} problems in a prompt set" if found else self.problems[0]
        super().__init__(message, found=found, where=where)


def list_problems(error: ValidationError, known: Iterable[str]) -> list[str]:
    """One sentence for each of pydantic's errors, with the place and the nearest known key."""
    problems: dict[str, None] = {}
    for item in error.errors(include_url=False):
        raised = item.get("ctx", {}).get("error")
        if isinstance(raised, Problems):
            problems.update(dict.fromkeys(raised.problems))
            continue
        problems[_sentence(item, raised, known)] = None
    return list(problems)


def _sentence(item: Any, raised: object, known: Iterable[str]) -> str:
    kind, loc, value = item["type"], item["loc"], item["input"]
    if kind == "extra_forbidden":
        hint = did_you_mean(str(loc[0]), known) or f"The keys are {', '.join(known)}."
        return f"unknown key {loc[0]!r}. {hint}"
    place = _place(loc)
    if kind == "missing":
        return f"the key {place!r} is missing"
    if kind == "string_type":
        hint = " (put quotes around words such as no and off)" if isinstance(value, bool) else ""
        return f"{place}: expected text, found {value!r:.60}{hint}"
    if kind == "string_pattern_mismatch":
        return f"{place}: expected letters, digits, '_', '.' or '-', found {value!r:.80}"
    if kind in ("dict_type", "too_short"):
        return f"{place}: expected class: [words], found {value!r:.60}"
    return f"{place}: {raised or item['msg']}"


def _place(loc: tuple[int | str, ...]) -> str:
    """The place as a user reads it: "classes.anger, entry 2"."""
    field, *rest = loc
    if rest and rest[-1] == "[key]":
        return f"{field}, a class name"
    names = [str(field)] + [part for part in rest if isinstance(part, str) and field != "anchor"]
    entries = [f", entry {part + 1}" for part in rest if isinstance(part, int)]
    return ".".join(names) + "".join(entries)
