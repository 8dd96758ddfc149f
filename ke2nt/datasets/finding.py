"""One problem of a dataset, as `data check` reports it and as readers remark on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ke2nt.runtime.formatting import printable

__all__ = ["Finding", "Level", "make_finding"]

_MAX_EXAMPLES = 5

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of problem.

    Attributes:
        level: "error" if a split cannot be used at all, "warning" if metrics would suffer, "note"
            for what is good to know.
        kind: A word for scripts, such as "unreadable".
        message: The problem, as a sentence without a final full stop.
        count: Number of affected samples, groups or classes.
        examples: Some of them.
        hint: What to do.
    """

    level: Level
    kind: str
    message: str
    count: int
    examples: tuple[str, ...]
    hint: str


def make_finding(
    level: Level, kind: str, message: str, affected: Sequence[str], hint: str
) -> Finding:
    """A finding with the first few of what it affects as examples."""
    examples = tuple(printable(text) for text in affected[:_MAX_EXAMPLES])
    return Finding(level, kind, printable(message), len(affected), examples, hint)
