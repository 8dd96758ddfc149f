"""Problems of a prompt set as sentences, from pydantic's validation errors."""

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
        if len(self.problems) == 1:
            super().__init__(self.problems[0], where=where)
            return
        numbered = (f"({i}) {text}" for i, text in enumerate(self.problems, start=1))
        message = f"{len(self.problems)} problems in a prompt set"
        super().__init__(message, found="; ".join(numbered), where=where)


def list_problems(error: ValidationError, known: Iterable[str]) -> list[str]:
    """Return a sentence for each of pydantic's errors, with the place and the nearest valid key."""
    problems: list[str] = []
    for item in error.errors(include_url=False):
        raised = item.get("ctx", {}).get("error")
        if isinstance(raised, Problems):
            problems.extend(raised.problems)
        else:
            problems.append(_describe(item, raised, known))

    # both sides of a union report the same problem
    return list(dict.fromkeys(problems))


def _describe(item: Any, raised: object, known: Iterable[str]) -> str:
    """Describe one error.

    Args:
        item: The error as pydantic reports it.
        raised: The exception of a validator, if there was one.
        known: The valid keys.
    """
    kind, location, value = item["type"], item["loc"], item["input"]
    if kind == "extra_forbidden":
        hint = did_you_mean(str(location[0]), known) or f"The keys are {', '.join(known)}."
        return f"unknown key {location[0]!r}. {hint}"

    # the other kinds name the place, and what was found there
    place = _describe_place(location)
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


def _describe_place(location: tuple[int | str, ...]) -> str:
    """Return the place as a user reads it: "classes.anger, entry 2"."""
    field, *rest = location
    if rest and rest[-1] == "[key]":
        return f"{field}, a class name"

    # the tags of the anchor's union are no keys of the file
    names = [str(field)]
    if field != "anchor":
        names += [part for part in rest if isinstance(part, str)]
    entries = [f", entry {part + 1}" for part in rest if isinstance(part, int)]
    return ".".join(names) + "".join(entries)
