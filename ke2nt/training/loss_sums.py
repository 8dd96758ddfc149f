"""Sums of loss parts over the steps of an epoch, kept on the device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ke2nt.training.progress import Progress

__all__ = ["LossSums"]


class LossSums:
    """Adds up loss parts without waiting for the device.

    Args:
        progress: Its sums are continued; `store` writes them back.
        device: Where the losses are.
    """

    def __init__(self, progress: Progress, device: torch.device) -> None:
        # MPS has no float64.
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._progress = progress
        self._sums = {
            name: torch.tensor(value, dtype=self._dtype).to(device)
            for name, value in progress.sums.items()
        }

    @property
    def values(self) -> Iterable[Tensor]:
        """The sums, scalars."""
        return self._sums.values()

    def add(self, parts: Mapping[str, Tensor]) -> None:
        """Add the parts of one step."""
        # not every step has every part: a generator may step less often than its critics
        counts = self._progress.counts
        for name, value in parts.items():
            total = self._sums.get(name)
            self._sums[name] = value.to(self._dtype) if total is None else total + value
            counts[name] = counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """Return the mean of each part so far; this waits for the device."""
        counts = self._progress.counts
        return {name: float(total) / counts[name] for name, total in self._sums.items()}

    def store(self) -> None:
        """Write the sums into the progress."""
        self._progress.sums = {name: float(total) for name, total in self._sums.items()}
