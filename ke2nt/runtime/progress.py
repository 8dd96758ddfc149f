"""Progress on stderr: a bar on a terminal, a line every half minute otherwise, none with --quiet.

Both say the percentage that is done and the time that is left, and fit 80 columns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column

__all__ = ["LineProgress", "bar_columns", "count_progress", "stderr_console", "track"]

T = TypeVar("T")
_SECONDS = 30.0  # between two lines
_BAR_WIDTH = 20


def stderr_console() -> Console:
    """Return the console for everything that is not a result."""
    return Console(stderr=True, highlight=False)


def bar_columns(description: str = "{task.description}") -> list[ProgressColumn]:
    """Columns of a bar: description, bar, percentage and time left; a narrow terminal cuts texts.

    Args:
        description: A format of rich, which has the fields of its task.
    """
    whole = Column(no_wrap=True)
    return [
        TextColumn(description, table_column=Column(no_wrap=True, overflow="ellipsis")),
        BarColumn(_BAR_WIDTH),
        TextColumn("{task.percentage:>3.0f} %", table_column=whole),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
    ]


class LineProgress:
    """Progress in a log file: a line every half minute, so that the file stays short.

    Args:
        total: Number of items, or None if it is not known.
        done: Items that were done before.
    """

    def __init__(self, total: int | None, done: int = 0) -> None:
        self._total = total
        self._first = done
        self._started = self._printed = monotonic()

    def update(self, done: int, description: str) -> None:
        """Print a line if the last one is half a minute old.

        Args:
            done: Items that are done.
            description: What is being done.
        """
        now = monotonic()
        if now - self._printed < _SECONDS:
            return
        self._printed = now
        print(f"{description}: {self._state(done, now)}", file=sys.stderr, flush=True)

    def _state(self, done: int, now: float) -> str:
        if not self._total:
            return f"{done} done"

        # what was done before this process started took none of its time
        share = f"{100 * done / self._total:.0f} % of {self._total}"
        new = done - self._first
        if new <= 0:
            return share
        left = (now - self._started) / new * max(self._total - done, 0)
        return f"{share}, {timedelta(seconds=round(left))} left"


def track(
    items: Iterable[T], description: str, *, total: int | None = None, quiet: bool = False
) -> Iterator[T]:
    """Iterate with progress on stderr.

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
        with Progress(*bar_columns(), console=console, transient=True) as bar:
            yield from bar.track(items, total=total, description=description)
        return

    lines = LineProgress(total)
    for count, item in enumerate(items, start=1):
        yield item
        lines.update(count, description)


@contextmanager
def count_progress(description: str, *, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """Show progress of work whose length is not known; the block calls the function at each step.

    Args:
        description: What is being done.
        quiet: Whether no progress is shown.
    """
    console = stderr_console()
    if quiet or not console.is_terminal:
        lines, done = LineProgress(None), 0

        def count() -> None:
            nonlocal done
            done += 1
            if not quiet:
                lines.update(done, description)

        yield count
        return

    # without a total the bar pulses
    columns = (TextColumn("{task.description}: {task.completed} done"), BarColumn(_BAR_WIDTH))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=None)
        yield lambda: bar.advance(task)
