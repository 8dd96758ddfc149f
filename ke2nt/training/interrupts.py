"""Ctrl-C and SIGTERM: finish the current step, save, and stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ke2nt.runtime.distributed import world_size

__all__ = ["StopRequest", "TrainingStopped"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingStopped(KeyboardInterrupt):
    """Training was interrupted; its state has been saved."""


class StopRequest:
    """Whether this process was asked to stop."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def received(self) -> bool:
        """Whether a signal came while listening."""
        return self._event.is_set()

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Note Ctrl-C and SIGTERM instead of ending at once; a second Ctrl-C ends at once.

        Only the main thread can receive signals; in other threads this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(signum: int, frame: object) -> None:
            # with several processes, one that ended at once would leave the others waiting
            if self.received and signum == signal.SIGINT and world_size() == 1:
                raise KeyboardInterrupt
            self._event.set()

        previous = {number: signal.signal(number, note) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
