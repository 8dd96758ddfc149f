"""What can be wrong with a dataset: one function a kind of fault, each with what to do about it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.datasets.duplicates import groups_of_equal, near_pairs
from ke2nt.datasets.info import imbalance

__all__ = [
    "Finding",
    "Look",
    "balance_findings",
    "blank_findings",
    "duplicate_findings",
    "file_findings",
    "near_findings",
    "subject_findings",
]

_EXAMPLES = 5
_IMBALANCED = 10.0

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Look:
    """One sample and what decoding it showed.

    Attributes:
        split: Its split.
        sample: The sample.
        missing: The image file is not there.
        reason: Why it cannot be read, or None if it can be.
        blank: All pixels are equal.
        digest: Digest of the pixels; "" where unreadable.
        hash: Difference hash of the picture, or None where not asked for.
    """

    split: str
    sample: FaceSample
    missing: bool = False
    reason: str | None = None
    blank: bool = False
    digest: str = ""
    hash: bytes | None = None

    @property
    def place(self) -> str:
        return f"{self.split}: {self.sample.name}"

    @property
    def readable(self) -> bool:
        return not self.missing and self.reason is None


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of fault.

    Attributes:
        level: "error" where a split cannot be used at all, "warning" where figures would suffer,
            "note" for what is good to know.
        kind: A word for scripts, such as "unreadable".
        message: What was found, as a sentence without a final full stop.
        count: How many samples, groups or classes are concerned.
        examples: Some of them.
        hint: What to do.
    """

    level: Level
    kind: str
    message: str
    count: int
    examples: tuple[str, ...]
    hint: str


def file_findings(looks: Sequence[Look]) -> list[Finding]:
    """Images that are absent or cannot be read, by split."""
    by_split: dict[str, list[Look]] = defaultdict(list)
    for look in looks:
        by_split[look.split].append(look)
    findings = []
    for split, members in by_split.items():
        level: Level = "warning" if any(look.readable for look in members) else "error"
        missing = [look.place for look in members if look.missing]
        broken = [f"{look.place} ({look.reason})" for look in members if look.reason is not None]
        if missing:
            findings.append(
                _finding(
                    level,
                    "missing",
                    f"{len(missing)} of {len(members)} images of {split} are not on disk",
                    missing,
                    "Unpack the dataset's archives fully; runs leave missing images out.",
                )
            )
        if broken:
            findings.append(
                _finding(
                    level,
                    "unreadable",
                    f"{len(broken)} of {len(members)} images of {split} cannot be read",
                    broken,
                    "Copy these files again; runs leave unreadable images out.",
                )
            )
    return findings


def blank_findings(looks: Sequence[Look]) -> list[Finding]:
    """Images of one color only."""
    blank = [look.place for look in looks if look.blank]
    if not blank:
        return []
    message = f"{len(blank)} images show one plain color"
    hint = "They show no face: list the good images in a manifest, or replace these files."
    return [_finding("warning", "blank", message, blank, hint)]


def duplicate_findings(looks: Sequence[Look]) -> list[Finding]:
    """The same pixels more than once: across splits, under two labels, or within one split."""
    seen = [look for look in looks if look.readable and not look.blank]
    across, conflicting, within = [], [], []
    for group in groups_of_equal([look.digest for look in seen]):
        members = [seen[i] for i in group]
        line = " = ".join(look.place for look in members)
        if len({look.split for look in members}) > 1:
            across.append(line)
        if len({look.sample.label for look in members}) > 1:
            conflicting.append(line)
        if len({look.split for look in members}) < len(members):
            within.append(line)
    kinds: list[tuple[Level, str, list[str], str, str]] = [
        (
            "warning",
            "duplicates_across_splits",
            across,
            "pictures are in more than one split",
            "Figures on the later split are too good: leave these samples out of training.",
        ),
        (
            "warning",
            "conflicting_labels",
            conflicting,
            "pictures are there with different labels",
            "At most one label is right: correct them, or train on vote shares (soft labels).",
        ),
        (
            "note",
            "duplicates_within_split",
            within,
            "pictures are in one split more than once",
            "They weigh more than others; harmless where they are few.",
        ),
    ]
    return [
        _finding(level, kind, f"{len(lines)} {text}", lines, hint)
        for level, kind, lines, text, hint in kinds
        if lines
    ]


def near_findings(looks: Sequence[Look]) -> list[Finding]:
    """Different pixels of nearly the same picture."""
    first = {look.digest: look for look in looks if look.hash is not None and not look.blank}
    seen = list(first.values())
    pairs = [(seen[a], seen[b]) for a, b in near_pairs([look.hash for look in seen if look.hash])]
    if not pairs:
        return []
    crossing = [f"{a.place} ≈ {b.place}" for a, b in pairs if a.split != b.split]
    inside = [f"{a.place} ≈ {b.place}" for a, b in pairs if a.split == b.split]
    return [
        _finding(
            "warning" if crossing else "note",
            "near_duplicates",
            f"{len(pairs)} pairs of pictures are nearly the same, {len(crossing)} across splits",
            crossing + inside,
            "Look at some pairs; frames of one video belong in one split.",
        )
    ]


def subject_findings(looks: Sequence[Look]) -> list[Finding]:
    """People that are in more than one split."""
    splits_of: dict[str, set[str]] = defaultdict(set)
    for look in looks:
        if look.sample.subject is not None:
            splits_of[look.sample.subject].add(look.split)
    shared = [f"{who}: {', '.join(sorted(s))}" for who, s in splits_of.items() if len(s) > 1]
    if not shared:
        return []
    message = f"{len(shared)} of {len(splits_of)} subjects are in more than one split"
    hint = "Figures would measure known faces: divide by subject, as carve_validation does."
    return [_finding("warning", "subject_leakage", message, shared, hint)]


def balance_findings(splits: Sequence[FaceSplit]) -> list[Finding]:
    """Splits without samples, classes without samples, and strong imbalance."""
    findings = []
    for split in splits:
        counts = Counter(sample.label for sample in split.samples)
        absent = [name for i, name in enumerate(split.classes) if not counts[i]]
        ratio = imbalance(split)
        if ratio is None:
            message = f"{split.split} has no sample"
            hint = "Check the annotation files, and the reader's options."
            findings.append(_finding("error", "empty_split", message, [split.split], hint))
        elif absent:
            message = f"{split.split} has no sample of {', '.join(absent)}"
            hint = "Hold these classes out, or their recall cannot be learned or measured."
            findings.append(_finding("warning", "absent_class", message, absent, hint))
        if ratio is not None and ratio > _IMBALANCED:
            sizes = [f"{name} {counts[i]}" for i, name in enumerate(split.classes)]
            message = (
                f"{split.split} has {ratio:g} times as many samples in one class as in another"
            )
            hint = "Report mean class recall (UAR) beside accuracy."
            findings.append(
                Finding("note", "imbalance", message, len(split.classes), tuple(sizes), hint)
            )
    return findings


def _finding(level: Level, kind: str, message: str, places: Sequence[str], hint: str) -> Finding:
    return Finding(level, kind, message, len(places), tuple(places[:_EXAMPLES]), hint)
