"""Progress on stderr: a bar on a terminal, plain lines otherwise, nothing with --quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import track as rich_track

__all__ = ["stderr_console", "track"]

T = TypeVar("T")
_PLAIN_SECONDS = 15.0


def stderr_console() -> Console:
    """Return the console for everything that is not a result."""
    return Console(stderr=True, highlight=False)


def track(
    items: Iterable[T], description: str, *, total: int | None = None, quiet: bool = False
) -> Iterator[T]:
    """Iterate with progress on stderr; on a pipe, a plain line at most every 15 seconds.

    Args:
        items: What to iterate over.
        description: What is being done.
        total: Number of items; by default their length, if they have one.
        quiet: Whether no progress is shown.
    """
    if quiet:
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items)

    console = stderr_console()
    if console.is_terminal:
        yield from rich_track(
            items, description=description, total=total, console=console, transient=True
        )
        return

    # log files of long runs stay short
    last = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last > _PLAIN_SECONDS:
            last = time.monotonic()
            print(f"{description}: {count}/{total or '?'}", file=sys.stderr, flush=True)
