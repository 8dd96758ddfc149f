"""Where a run stands: epochs, steps, running means of the losses, the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

__all__ = ["LossSums", "Progress"]

_COUNTERS = ("epoch", "step", "skipped", "skipped_in_a_row")


@dataclass
class Progress:
    """Where training stands.

    Attributes:
        epoch: Completed epochs.
        step: Completed steps of the current epoch.
        best: Selection metric of the kept model, or None.
        best_epoch: Epoch of the kept model, counted from 1.
        sums: Sum of each loss part over the steps of the current epoch, in float64.
        counts: Number of steps that each sum covers.
        records: Log records so far, one for each epoch.
        skipped: Steps of the current epoch that were left out, because the loss was not finite or
            hardly any image could be read.
        skipped_in_a_row: Steps left out since the last one whose loss was finite.
    """

    epoch: int = 0
    step: int = 0
    best: float | None = None
    best_epoch: int | None = None
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    skipped: int = 0
    skipped_in_a_row: int = 0

    def means(self) -> dict[str, float]:
        """Mean of each loss part over the steps that had it."""
        return {name: value / self.counts[name] for name, value in self.sums.items()}

    def next_epoch(self) -> None:
        """Count the current epoch as completed."""
        self.epoch, self.step, self.skipped = self.epoch + 1, 0, 0
        self.sums, self.counts = {}, {}

    def seconds(self) -> float:
        """Time of all epochs so far, rounded to tenths of a second."""
        return round(sum(record["seconds"] for record in self.records), 1)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Progress:
        """Read what `asdict` wrote. The file is untrusted input, so every field is checked.

        Raises:
            ValueError: A field has a wrong type or value.
            TypeError: A field is missing or unknown.
        """
        progress = cls(**value)
        for name in _COUNTERS:
            if not _is_count(getattr(progress, name)):
                raise ValueError(f"{name} must be a non-negative integer")
        # None before the first evaluation
        for best in (progress.best, progress.best_epoch):
            if best is not None and not _is_number(best):
                raise ValueError("the best epoch must be a number")

        # the engine trusts these
        _check_records(progress.records)
        _check_sums(progress.sums, progress.counts)
        progress.sums = {str(name): float(total) for name, total in progress.sums.items()}
        return progress


class LossSums:
    """Adds up loss parts without waiting for the device.

    Args:
        progress: Its sums are continued; `store` writes them back.
        device: Where the losses are.
    """

    def __init__(self, progress: Progress, device: torch.device) -> None:
        # MPS has no float64
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


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _check_records(records: object) -> None:
    """Raise ValueError unless these are log records with their times."""
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError("the log is damaged")
    if not all(_is_number(record.get("seconds")) for record in records):
        raise ValueError("the log is damaged")


def _check_sums(sums: object, counts: object) -> None:
    """Raise ValueError unless each sum of losses has a number of steps."""
    if not isinstance(sums, dict) or not isinstance(counts, dict) or counts.keys() != sums.keys():
        raise ValueError("the loss sums have no step counts")
    if not all(_is_count(count) and count > 0 for count in counts.values()):
        raise ValueError("the loss sums have no step counts")
