"""Look at every image and annotation of a dataset for what would spoil training or figures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from ke2nt.data.images import decode
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.datasets.base import Reader, is_present
from ke2nt.datasets.duplicates import difference_hash, pixel_digest
from ke2nt.datasets.findings import (
    Finding,
    Look,
    balance_findings,
    blank_findings,
    duplicate_findings,
    file_findings,
    near_findings,
    subject_findings,
)
from ke2nt.datasets.info import split_info
from ke2nt.errors import ImageReadError
from ke2nt.runtime.progress import track

__all__ = ["CheckReport", "check_dataset"]

_CHUNK = 2048


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        dataset: Reader name.
        root: The dataset's folder.
        splits: Split → facts, as `split_info` gives them.
        findings: Errors first, then warnings, then notes.
    """

    dataset: str
    root: str
    splits: dict[str, dict[str, Any]]
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """Whether every split that was looked at can be used: no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)

    @property
    def clean(self) -> bool:
        """Whether no finding is an error or a warning."""
        return all(finding.level == "note" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {**asdict(self), "usable": self.usable, "clean": self.clean}


def check_dataset(
    reader: Reader,
    splits: Sequence[str] | None = None,
    *,
    near: bool = False,
    workers: int | None = None,
    quiet: bool = False,
) -> CheckReport:
    """Decode every image of some splits and look for faults.

    Args:
        reader: The dataset.
        splits: Splits to look at; all by default.
        near: Also look for near-duplicates.
        workers: Decoding threads; one for each core by default.
        quiet: No progress on stderr.

    Raises:
        DataError: A split is not known, or an annotation is damaged.
    """
    found = [reader.index(name) for name in splits or reader.splits]
    looks = list(_look_at_all(found, near, workers or os.cpu_count() or 1, quiet))
    findings = [
        *file_findings(looks),
        *blank_findings(looks),
        *duplicate_findings(looks),
        *near_findings(looks),
        *subject_findings(looks),
        *balance_findings(found),
    ]
    order = ("error", "warning", "note")
    findings.sort(key=lambda finding: order.index(finding.level))
    facts = {split.split: split_info(split) for split in found}
    return CheckReport(reader.name, str(reader.root), facts, tuple(findings))


def _look_at_all(
    splits: Sequence[FaceSplit], near: bool, workers: int, quiet: bool
) -> Iterator[Look]:
    samples = [(split.split, sample) for split in splits for sample in split.samples]

    def looks() -> Iterator[Look]:
        with ThreadPoolExecutor(workers) as pool:
            for start in range(0, len(samples), _CHUNK):  # bounds the results that wait
                chunk = samples[start : start + _CHUNK]
                yield from pool.map(lambda item: _look(item[0], item[1], near), chunk)

    return track(looks(), "checking images", total=len(samples), quiet=quiet)


def _look(split: str, sample: FaceSample, near: bool) -> Look:
    if not is_present(sample):
        return Look(split, sample, missing=True)
    try:
        pixels = decode(sample.source)
    except ImageReadError as error:
        return Look(split, sample, reason=str(error.found))
    return Look(
        split,
        sample,
        blank=int(pixels.min()) == int(pixels.max()),
        digest=pixel_digest(pixels),
        hash=difference_hash(pixels) if near else None,
    )
