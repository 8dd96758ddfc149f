"""Progress of training: a bar with loss parts and ETA on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ke2nt.runtime.progress import stderr_console

__all__ = ["Display"]

_READ_EVERY = 1.0  # seconds


class Display:
    """Progress of a training run on stderr.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = stderr_console()
        self._quiet = quiet
        self._epochs = 0
        self._bar: Progress | None = None
        self._read = 0.0
        if self._console.is_terminal and not quiet:
            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self._console,
            )

    @contextmanager
    def show(self, epochs: int, steps_per_epoch: int) -> Iterator[None]:
        """Show a run of so many epochs, each of so many steps, while the context lasts."""
        self._epochs = epochs
        if self._bar is None:
            yield
            return
        total = epochs * steps_per_epoch
        self._task = self._bar.add_task("", total=total, epoch=f"0/{epochs}", note="")
        with self._bar:
            yield

    @property
    def wants_losses(self) -> bool:
        """Whether the mean losses are to be shown now: once a second, as reading them waits."""
        return self._bar is not None and time.monotonic() - self._read >= _READ_EVERY

    def step(self, done: int, epoch: int, losses: dict[str, float] | None) -> None:
        """Show that `done` steps of the whole run are done."""
        if self._bar:
            self._bar.update(self._task, completed=done, epoch=f"{epoch + 1}/{self._epochs}")
            if losses is not None:
                self._bar.update(self._task, note=_parts(losses))
                self._read = time.monotonic()

    def epoch(self, record: dict[str, Any]) -> None:
        """Show an epoch's record as one line."""
        if self._quiet:
            return
        line = f"epoch {record['epoch']}/{self._epochs}  {_parts(record['loss'])}"
        if "val" in record:
            val = record["val"]
            line += (
                f"  | {record['val_split']} accuracy {val['accuracy']:.2%}  UAR {val['uar']:.2%}"
            )
        if "target" in record:
            line += f"  | target {_parts(record['target'])}"
        line += "  *" if record.get("kept") else ""
        line += f"  ({record['seconds']:.0f} s)"
        if self._bar:
            self._console.print(line, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)


def _parts(losses: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in losses.items())
