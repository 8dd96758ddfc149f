"""What a command with many results reports when some of them failed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

import typer

from ke2nt.cli.output import silent

__all__ = ["Outcome", "group_failures"]

_SOME_FAILED, _ALL_FAILED = 1, 2


@dataclass
class Outcome:
    """How many results there are, and what failed: (what, error)."""

    count: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    def report(self) -> None:
        """Print the failures on stderr, and exit with 1 if some failed and 2 if all did."""
        if not silent():
            for what, error in self.failures:
                print(f"failed: {what}: {error}", file=sys.stderr)
        if self.failures:
            raise typer.Exit(_SOME_FAILED if self.count else _ALL_FAILED)


def group_failures(failed: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Group what failed by its error: one unreadable dataset fails for every model."""
    names: dict[str, list[str]] = {}
    for what, error in failed:
        names.setdefault(error, []).append(what)
    return [(", ".join(what), error) for error, what in names.items()]
