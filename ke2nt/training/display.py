"""Progress of training: a bar with losses on a terminal, otherwise a line every half minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.progress import Progress, TextColumn
from rich.table import Column

from ke2nt.runtime.progress import LineProgress, bar_columns, stderr_console

__all__ = ["Display"]

_LOSSES_EVERY = 1.0  # seconds


class Display:
    """Progress of a training run on stderr.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = stderr_console()
        self._quiet = quiet
        self._epochs = self._total = 0
        self._bar: Progress | None = None
        self._lines: LineProgress | None = None
        self._losses_shown_at = 0.0
        if self._console.is_terminal and not quiet:
            # the losses come last, where a narrow terminal cuts them
            losses = Column(no_wrap=True, overflow="ellipsis", ratio=1)
            self._bar = Progress(
                *bar_columns("epoch {task.fields[epoch]}"),
                TextColumn("{task.fields[note]}", table_column=losses),
                console=self._console,
                expand=True,
            )

    @contextmanager
    def show(self, epochs: int, steps_per_epoch: int) -> Iterator[None]:
        """Show a run of so many epochs and steps while the context lasts."""
        # the whole run, so that the time left is that of the run
        self._epochs, self._total = epochs, epochs * steps_per_epoch
        if self._bar is None:
            yield
            return
        self._task = self._bar.add_task("", total=self._total, epoch=f"0/{epochs}", note="")
        with self._bar:
            yield

    @property
    def wants_losses(self) -> bool:
        """Whether to show the mean losses now: once a second, as reading them waits for a GPU."""
        due = time.monotonic() - self._losses_shown_at >= _LOSSES_EVERY
        return self._bar is not None and due

    def step(self, done: int, epoch: int, losses: Mapping[str, float] | None) -> None:
        """Show how many steps of the whole run are done.

        Args:
            done: Steps so far.
            epoch: Completed epochs.
            losses: Mean losses of the epoch, or None to leave those that are shown.
        """
        if self._quiet:
            return
        if self._bar is None:
            if self._lines is None:  # a resumed run does not begin with step 1
                self._lines = LineProgress(self._total, done)
            self._lines.update(done, f"epoch {epoch + 1}/{self._epochs}")
            return
        self._bar.update(self._task, completed=done, epoch=f"{epoch + 1}/{self._epochs}")
        if losses is not None:
            self._bar.update(self._task, note=_format_losses(losses))
            self._losses_shown_at = time.monotonic()

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Show an epoch's log record as one line."""
        if self._quiet:
            return
        line = _format_record(record, self._epochs)

        # through rich, which keeps the bar below; brackets are not markup
        if self._bar:
            self._console.print(line, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)


def _format_record(record: Mapping[str, Any], epochs: int) -> str:
    line = f"epoch {record['epoch']}/{epochs}  {_format_losses(record['loss'])}"
    if "val" in record:
        val = record["val"]
        line += f"  | {record['val_split']} accuracy {val['accuracy']:.2%}  UAR {val['uar']:.2%}"
    if "target" in record:
        line += f"  | target {_format_losses(record['target'])}"

    # a star marks the epoch whose model is kept
    line += "  *" if record.get("kept") else ""
    return f"{line}  ({record['seconds']:.0f} s)"


def _format_losses(losses: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in losses.items())
