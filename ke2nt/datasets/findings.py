"""Problems that a dataset can have: one function per kind, each with a hint what to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.datasets.duplicates import find_mirrored_pairs, find_near_pairs, group_equal
from ke2nt.datasets.finding import Finding, Level, make_finding
from ke2nt.datasets.info import imbalance

__all__ = [
    "SampleCheck",
    "find_blank",
    "find_duplicates",
    "find_imbalance",
    "find_near_duplicates",
    "find_shared_subjects",
    "find_single_class",
    "find_unreadable",
]

_STRONG_IMBALANCE = 10.0
# Part of the reason why an image cannot be read → what to do
_ADVICE = {
    "ke2nt[heif]": "type pip install 'ke2nt[heif]' to read HEIC, or convert it to PNG or JPEG",
    "newer Pillow": "type pip install -U pillow to read AVIF, or convert it to PNG or JPEG",
    "convert it to PNG": "convert what is not decoded here to PNG or JPEG",
    "gray levels": "correct or delete the rows, or download the table again if it was cut",
    "git lfs pull": "type git lfs pull in the dataset's folder",
    "HTML page": "download the web pages among them again",
    "read permission": "allow reading with chmod u+r",
    "32-bit pixels": "convert pixels without a fixed range to 8 or 16 bits",
    "floating-point pixels": "convert pixels without a fixed range to 8 or 16 bits",
}


@dataclass(frozen=True, slots=True)
class SampleCheck:
    """One sample and the result of decoding it.

    Attributes:
        split: Its split.
        sample: The sample.
        missing: The image file does not exist.
        reason: Why the image cannot be read, or None if it can.
        blank: All pixels are equal.
        digest: Digest of the pixels; "" if unreadable.
        hash: Difference hash of the image, or None if not requested.
        mirrored_hash: That of the mirrored image.
    """

    split: str
    sample: FaceSample
    missing: bool = False
    reason: str | None = None
    blank: bool = False
    digest: str = ""
    hash: bytes | None = None
    mirrored_hash: bytes | None = None

    @property
    def location(self) -> str:
        return f"{self.split}: {self.sample.name}"

    @property
    def readable(self) -> bool:
        return not self.missing and self.reason is None


def find_unreadable(checks: Sequence[SampleCheck]) -> list[Finding]:
    """Images that are missing or cannot be read, by split."""
    by_split: dict[str, list[SampleCheck]] = defaultdict(list)
    for check in checks:
        by_split[check.split].append(check)

    findings = []
    for split, members in by_split.items():
        # A split without any readable image cannot be used
        level: Level = "warning" if any(check.readable for check in members) else "error"

        missing = [check.location for check in members if check.missing]
        if missing:
            message = f"{len(missing)} of {len(members)} images of {split} are not on disk"
            hint = "Unpack the dataset's archives fully; runs leave missing images out."
            findings.append(make_finding(level, "missing", message, missing, hint))

        broken = [f"{c.location} ({c.reason})" for c in members if c.reason is not None]
        if broken:
            message = f"{len(broken)} of {len(members)} images of {split} cannot be read"
            advice = _advise([c.reason for c in members if c.reason is not None])
            hint = f"{advice}; runs leave unreadable images out."
            findings.append(make_finding(level, "unreadable", message, broken, hint))
    return findings


def _advise(reasons: Sequence[str]) -> str:
    """What to do about images that cannot be read, by what they are."""
    advice = dict.fromkeys(
        next((text for part, text in _ADVICE.items() if part in reason), "copy these files again")
        for reason in reasons
    )
    text = "; ".join(advice)
    return text[0].upper() + text[1:]


def find_blank(checks: Sequence[SampleCheck]) -> list[Finding]:
    """Images of a single color."""
    blank = [check.location for check in checks if check.blank]
    if not blank:
        return []
    message = f"{len(blank)} images show one plain color"
    hint = "They show no face: list the good images in a manifest, or replace these files."
    return [make_finding("warning", "blank", message, blank, hint)]


def find_duplicates(checks: Sequence[SampleCheck]) -> list[Finding]:
    """The same pixels more than once: across splits, with different labels, or within a split."""
    # blank images are all equal, and reported elsewhere
    readable = [check for check in checks if check.readable and not check.blank]
    across_splits, conflicting, within_split = [], [], []
    for group in group_equal([check.digest for check in readable]):
        members = [readable[i] for i in group]
        line = " = ".join(check.location for check in members)

        # One group can be a problem of all three kinds
        splits = {check.split for check in members}
        if len(splits) > 1:
            across_splits.append(line)
        if len({check.sample.label for check in members}) > 1:
            conflicting.append(line)
        if len(splits) < len(members):
            within_split.append(line)

    findings = []
    if across_splits:
        message = f"{len(across_splits)} images are in more than one split"
        hint = "Metrics on the evaluation split are inflated: remove these images from training."
        kind = "duplicates_across_splits"
        findings.append(make_finding("warning", kind, message, across_splits, hint))
    if conflicting:
        message = f"{len(conflicting)} images have different labels"
        hint = "At most one label is right: correct them, or train on label distributions."
        findings.append(make_finding("warning", "conflicting_labels", message, conflicting, hint))
    if within_split:
        message = f"{len(within_split)} images are in one split more than once"
        hint = "They weigh more than others; harmless if they are few."
        kind = "duplicates_within_split"
        findings.append(make_finding("note", kind, message, within_split, hint))
    return findings


def find_near_duplicates(checks: Sequence[SampleCheck]) -> list[Finding]:
    """Nearly the same image with different pixels, or its mirror image."""
    # One check for each distinct image
    first = {check.digest: check for check in checks if check.hash is not None and not check.blank}
    distinct = list(first.values())
    hashes = [check.hash or b"" for check in distinct]
    mirrored = [check.mirrored_hash or b"" for check in distinct]

    # (check, check, sign)
    flipped = find_mirrored_pairs(hashes, mirrored)
    pairs = [(distinct[a], distinct[b], "≈") for a, b in find_near_pairs(hashes)]
    pairs += [(distinct[a], distinct[b], "≈ mirrored") for a, b in flipped]
    if not pairs:
        return []

    across_splits = [f"{a.location} {s} {b.location}" for a, b, s in pairs if a.split != b.split]
    within_split = [f"{a.location} {s} {b.location}" for a, b, s in pairs if a.split == b.split]
    level: Level = "warning" if across_splits else "note"
    message = (
        f"{len(pairs)} pairs of images are nearly the same, {len(flipped)} of them mirrored, "
        f"{len(across_splits)} across splits"
    )
    hint = "Look at some pairs; frames of one video belong in one split."
    return [make_finding(level, "near_duplicates", message, across_splits + within_split, hint)]


def find_shared_subjects(checks: Sequence[SampleCheck]) -> list[Finding]:
    """People who are in more than one split."""
    # subject → splits
    splits_of: dict[str, set[str]] = defaultdict(set)
    for check in checks:
        if check.sample.subject is not None:
            splits_of[check.sample.subject].add(check.split)

    shared = [
        f"{subject}: {', '.join(sorted(splits))}"
        for subject, splits in splits_of.items()
        if len(splits) > 1
    ]
    if not shared:
        return []
    message = f"{len(shared)} of {len(splits_of)} subjects are in more than one split"
    hint = "Metrics would be measured on people seen in training: split the data by subject."
    return [make_finding("warning", "subject_leakage", message, shared, hint)]


def find_imbalance(splits: Sequence[FaceSplit]) -> list[Finding]:
    """Splits without samples, classes without samples, and strong imbalance."""
    findings = []
    for split in splits:
        # class index → samples
        counts = Counter(sample.label for sample in split.samples)
        absent = [name for i, name in enumerate(split.classes) if not counts[i]]
        ratio = imbalance(split)

        if ratio is None:
            message = f"{split.split} has no samples"
            hint = "Check the annotation files, and the reader's options."
            findings.append(make_finding("error", "empty_split", message, [split.split], hint))
        elif absent:
            message = f"{split.split} has no samples of {', '.join(absent)}"
            hint = "Hold these classes out: their recall can be neither learned nor measured."
            findings.append(make_finding("warning", "absent_class", message, absent, hint))

        if ratio is not None and ratio > _STRONG_IMBALANCE:
            sizes = [f"{name} {counts[i]}" for i, name in enumerate(split.classes)]
            message = (
                f"{split.split} has {ratio:g} times as many samples in one class as in another"
            )
            hint = "Report mean class recall (UAR) beside accuracy."
            findings.append(Finding("note", "imbalance", message, len(sizes), tuple(sizes), hint))
    return findings


def find_single_class(splits: Sequence[FaceSplit]) -> list[Finding]:
    """A dataset, or all samples of it, of one class."""
    labels = {sample.label for split in splits for sample in split.samples}
    if len(labels) != 1:
        return []
    name = splits[0].classes[labels.pop()]
    message = f"all samples are of one class, {name}"
    hint = (
        "A model would learn to answer it always, and score 100 %. If folders of another kind were "
        "read as classes, use the dataset that reads them (ke2nt data list)."
    )
    return [make_finding("warning", "single_class", message, [name], hint)]
