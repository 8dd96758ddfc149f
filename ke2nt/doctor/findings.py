"""One result of a check, with the command that fixes a problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ke2nt.errors import Ke2ntError

__all__ = ["Finding", "Level", "run_check"]

Level = Literal["ok", "note", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check.

    Attributes:
        area: packages, devices, extras, caches, package files, face detectors, model or dataset.
        name: What was checked.
        level: "ok"; "note": it works, but something useful is missing; "broken".
        message: The result.
        fix: What to type, or None.
    """

    area: str
    name: str
    level: Level
    message: str
    fix: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value; `mend` is the old name of `fix`."""
        return {**asdict(self), "mend": self.fix}


def run_check(
    area: str, name: str, check: Callable[[], Iterator[Finding]], *, fix: str | None = None
) -> list[Finding]:
    """Return a check's findings; an error is one, too.

    Args:
        area: The area of an error.
        name: The name of an error.
        check: Yields findings.
        fix: What to type after an error that has no hint.
    """
    findings: list[Finding] = []
    try:
        findings.extend(check())
    except Ke2ntError as error:
        message = str(error).removesuffix(f". {error.hint}") if error.hint else str(error)
        findings.append(Finding(area, name, "broken", message, error.hint or fix))
    return findings
