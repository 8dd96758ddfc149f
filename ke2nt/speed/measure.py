"""Rates and peak memory of things that take turns, so that all meet the same conditions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

__all__ = ["Rate", "take_turns"]

Contestant = Callable[[], AbstractContextManager[Callable[[], int]]]
"""Opens what is measured; the value does a piece of work and says how many images that was."""


@dataclass(frozen=True)
class Rate:
    """How fast one contestant was.

    Attributes:
        images_per_second: Median over the rounds.
        rounds: The rate of each round.
        peak_mib: Most memory in use while it ran, MiB: of the accelerator where there is one,
            otherwise of the process, what it held before included; None where that is not known.
    """

    images_per_second: float
    rounds: tuple[float, ...]
    peak_mib: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def take_turns(
    contestants: Mapping[str, Contestant], device: torch.device, *, rounds: int, warm_up: int = 1
) -> dict[str, Rate]:
    """Measure each contestant `rounds` times, in turns, warmed up before.

    Args:
        contestants: Name → what to measure.
        device: Where they compute.
        rounds: Measurements of each.
        warm_up: Pieces of work before each measurement.
    """
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    peaks: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            _reset_peak(device)
            with contestant() as work:
                for _ in range(warm_up):
                    work()
                _wait(device)
                start = time.perf_counter()
                images = work()
                _wait(device)
                rates[name].append(images / (time.perf_counter() - start))
            if (peak := _peak(device)) is not None:
                peaks[name].append(peak)
    return {
        name: Rate(statistics.median(values), tuple(values), max(peaks[name], default=None))
        for name, values in rates.items()
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):  # Linux alone has it
        Path("/proc/self/clear_refs").write_text("5")


def _peak(device: torch.device) -> float | None:
    """MiB since the last reset."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return None
