"""Progress on stderr: a bar on a terminal, plain lines otherwise, nothing if asked to be quiet."""

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
    """The console for everything that is not a result."""
    return Console(stderr=True, highlight=False)


def track(
    items: Iterable[T], description: str, *, total: int | None = None, quiet: bool = False
) -> Iterator[T]:
    """Iterate with progress on stderr; on a pipe, a plain line at most every 15 seconds."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if quiet:
        yield from items
        return
    console = stderr_console()
    if console.is_terminal:
        yield from rich_track(
            items, description=description, total=total, console=console, transient=True
        )
        return
    last = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last > _PLAIN_SECONDS:
            last = time.monotonic()
            print(f"{description}: {count}/{total or '?'}", file=sys.stderr, flush=True)
