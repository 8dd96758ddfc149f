"""Check every image and annotation of a dataset for what would spoil training or metrics."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from ke2nt.data.images import decode
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.datasets.base import Reader, is_present
from ke2nt.datasets.duplicates import difference_hash, pixel_digest
from ke2nt.datasets.finding import Finding
from ke2nt.datasets.findings import (
    SampleCheck,
    find_blank,
    find_duplicates,
    find_imbalance,
    find_near_duplicates,
    find_shared_subjects,
    find_single_class,
    find_unreadable,
)
from ke2nt.datasets.info import split_info
from ke2nt.errors import ImageReadError
from ke2nt.runtime.progress import track

__all__ = ["CheckReport", "check_dataset"]

_CHUNK = 2048
_LEVELS = ("error", "warning", "note")


@dataclass(frozen=True)
class CheckReport:
    """Result of a check.

    Attributes:
        dataset: Reader name.
        root: The dataset's folder.
        splits: Split → result of `split_info`.
        findings: Errors first, then warnings, then notes.
    """

    dataset: str
    root: str
    splits: dict[str, dict[str, Any]]
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """Whether every checked split can be used: no finding is an error."""
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
    """Decode every image of some splits and look for problems.

    Args:
        reader: The dataset.
        splits: Splits to check; all by default.
        near: Also look for near-duplicates and mirrored copies.
        workers: Decoding threads; one per core by default.
        quiet: No progress on stderr.

    Raises:
        DataError: A split is unknown, or an annotation is damaged.
    """
    face_splits = [reader.index(name) for name in splits or reader.splits]
    threads = workers or os.cpu_count() or 1
    checks = list(_check_samples(face_splits, near=near, workers=threads, quiet=quiet))

    # Sorting keeps the order within a level
    findings = [
        *find_unreadable(checks),
        *find_blank(checks),
        *find_duplicates(checks),
        *find_near_duplicates(checks),
        *find_shared_subjects(checks),
        *find_imbalance(face_splits),
        *find_single_class(face_splits),
        *reader.remarks(),
    ]
    findings.sort(key=lambda finding: _LEVELS.index(finding.level))

    facts = {face_split.split: split_info(face_split) for face_split in face_splits}
    return CheckReport(reader.name, str(reader.root), facts, tuple(findings))


def _check_samples(
    splits: Sequence[FaceSplit], *, near: bool, workers: int, quiet: bool
) -> Iterator[SampleCheck]:
    samples = [(split.split, sample) for split in splits for sample in split.samples]
    checks = _check_in_threads(samples, near, workers)
    return track(checks, "checking images", total=len(samples), quiet=quiet)


def _check_in_threads(
    samples: Sequence[tuple[str, FaceSample]], near: bool, workers: int
) -> Iterator[SampleCheck]:
    check = partial(_check_sample, near=near)
    with ThreadPoolExecutor(workers) as pool:
        # chunks bound the number of results that wait in memory
        for start in range(0, len(samples), _CHUNK):
            yield from pool.map(check, samples[start : start + _CHUNK])


def _check_sample(item: tuple[str, FaceSample], *, near: bool) -> SampleCheck:
    split, sample = item
    if not is_present(sample):
        return SampleCheck(split, sample, missing=True)
    try:
        pixels = decode(sample.source)
    except ImageReadError as error:
        return SampleCheck(split, sample, reason=str(error.found))

    return SampleCheck(
        split,
        sample,
        blank=int(pixels.min()) == int(pixels.max()),
        digest=pixel_digest(pixels),
        hash=difference_hash(pixels) if near else None,
        mirrored_hash=difference_hash(pixels[:, ::-1]) if near else None,
    )
