"""Throughput and peak memory of several contestants, measured in turns for equal conditions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ke2nt.runtime.progress import track

__all__ = ["Contestant", "Rate", "take_turns"]

Contestant = Callable[[], AbstractContextManager[Callable[[], int]]]
"""Opens what is measured; the value does one piece of work and returns its number of images."""


@dataclass(frozen=True)
class Rate:
    """Throughput of one contestant.

    Attributes:
        images_per_second: Median over the rounds.
        rounds: The rate of each round.
        peak_mib: Peak memory in use while it ran, in MiB: of the accelerator if there is one, else
            of the process, including what it held before; None if it is unknown.
    """

    images_per_second: float
    rounds: tuple[float, ...]
    peak_mib: float | None

    def to_dict(self) -> dict[str, Any]:
        """Convert to a plain JSON value."""
        return asdict(self)


def take_turns(
    contestants: Mapping[str, Contestant],
    device: torch.device,
    *,
    rounds: int,
    warm_up: int = 1,
    quiet: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Rate]:
    """Measure each contestant `rounds` times, in turns, each time after a warm-up.

    Args:
        contestants: Name → what to measure.
        device: Where they compute.
        rounds: Measurements of each.
        warm_up: Pieces of work before each measurement.
        quiet: Show no progress.
        clock: Seconds since any time; `time.process_time` leaves out what other programs take, if
            nothing but this process computes.
    """
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    peaks: dict[str, list[float]] = {name: [] for name in contestants}

    # in turns, so that a slow phase of the machine hits all of them
    turns = [name for _ in range(rounds) for name in contestants]
    for name in track(turns, "measuring", quiet=quiet):
        _reset_peak_memory(device)
        rates[name].append(_measure_once(contestants[name], device, warm_up, clock))
        peak = _read_peak_memory(device)
        if peak is not None:
            peaks[name].append(peak)

    return {
        name: Rate(statistics.median(values), tuple(values), max(peaks[name], default=None))
        for name, values in rates.items()
    }


def _measure_once(
    contestant: Contestant, device: torch.device, warm_up: int, clock: Callable[[], float]
) -> float:
    """Images per second of one piece of work."""
    with contestant() as work:
        for _ in range(warm_up):
            work()

        # CUDA computes asynchronously
        _synchronize(device)
        start = clock()
        num_images = work()
        _synchronize(device)
        return num_images / (clock() - start)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return

    # only on Linux: 5 resets the peak of the resident memory
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _read_peak_memory(device: torch.device) -> float | None:
    """MiB since the last reset."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20

    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return None
