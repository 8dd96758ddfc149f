"""Facial expressions: canonical names, each dataset's index order, and mappings between label sets.

A label set is a tuple of class names in index order. It is stored with everything that is trained
or embedded, and two label sets are only ever joined by `map_labels`, with an explicit policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ke2nt.errors import LabelError
from ke2nt.runtime.suggest import did_you_mean, nearest

__all__ = [
    "CANONICAL",
    "COMPOUND_LABELS",
    "DATASET_LABELS",
    "FIRST_CODE",
    "MERGE_HINT",
    "NEUTRAL",
    "POLICY_HINT",
    "LabelMapping",
    "LabelPolicy",
    "canonical_name",
    "check_same_labels",
    "map_labels",
    "nearest_expression",
    "neutral_index",
]

CANONICAL: tuple[str, ...] = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
)
NEUTRAL = "neutral"

# Index order of each dataset, as its annotation files number the classes (RAF-DB counts from 1)
DATASET_LABELS: Mapping[str, tuple[str, ...]] = {
    "rafdb": ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
    "affectnet7": ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger"),
    "affectnet8": (
        "neutral",
        "happiness",
        "sadness",
        "surprise",
        "fear",
        "disgust",
        "anger",
        "contempt",
    ),
    "fer2013": ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"),
    "ferplus": CANONICAL,
    "ckplus": (
        "neutral",
        "anger",
        "contempt",
        "disgust",
        "fear",
        "happiness",
        "sadness",
        "surprise",
    ),
    "oulucasia": ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise"),
    "mmi": ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise"),
    "jaffe": ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"),
    "sfew": ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"),
    "expw": ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"),
    "drawn": CANONICAL,
}

# Number of the first class in annotation files that do not count from 0
FIRST_CODE: Mapping[str, int] = {"rafdb": 1}

# RAF-DB's compound classes, which its files number from 1 → the two basic expressions
COMPOUND_LABELS: Mapping[str, tuple[str, str]] = {
    "happily surprised": ("happiness", "surprise"),
    "happily disgusted": ("happiness", "disgust"),
    "sadly fearful": ("sadness", "fear"),
    "sadly angry": ("sadness", "anger"),
    "sadly surprised": ("sadness", "surprise"),
    "sadly disgusted": ("sadness", "disgust"),
    "fearfully angry": ("fear", "anger"),
    "fearfully surprised": ("fear", "surprise"),
    "angrily surprised": ("anger", "surprise"),
    "angrily disgusted": ("anger", "disgust"),
    "disgustedly surprised": ("disgust", "surprise"),
}

# Spelling in a dataset, a folder or a prompt → canonical name
_SYNONYMS: Mapping[str, str] = {
    "neutral": "neutral",
    "calm": "neutral",
    "happy": "happiness",
    "happiness": "happiness",
    "joy": "happiness",
    "joyful": "happiness",
    "smile": "happiness",
    "smiling": "happiness",
    "surprise": "surprise",
    "surprised": "surprise",
    "sad": "sadness",
    "sadness": "sadness",
    "anger": "anger",
    "angry": "anger",
    "disgust": "disgust",
    "disgusted": "disgust",
    "fear": "fear",
    "afraid": "fear",
    "scared": "fear",
    "frightened": "fear",
    "fearful": "fear",
    "contempt": "contempt",
    "contemptuous": "contempt",
}

LabelPolicy = Literal["strict", "drop", "keep"]
MERGE_HINT = "Use --merge A=B (in Python: merge=) to evaluate some classes as others."
POLICY_HINT = "Use --labels drop or --labels keep, or --merge A=B (in Python: policy=, merge=)."


def canonical_name(name: str) -> str:
    """Canonical expression for a class word ("Happy" → "happiness").

    Raises:
        LabelError: The word is not a known spelling of one of `CANONICAL`.
    """
    word = name.strip().lower()
    if word in _SYNONYMS:
        return _SYNONYMS[word]
    raise LabelError(
        f"unknown expression {name!r}",
        expected=f"one of {', '.join(CANONICAL)}",
        hint=did_you_mean(word, _SYNONYMS),
    )


def nearest_expression(word: str) -> str | None:
    """The canonical expression whose spelling is nearest to a word ("suprise"), if any is near."""
    near = nearest(word.strip().lower(), _SYNONYMS)
    return None if near is None else _SYNONYMS[near]


def neutral_index(classes: Sequence[str]) -> int | None:
    """Index of the neutral class in a label set, or None if it has none."""
    return list(classes).index(NEUTRAL) if NEUTRAL in classes else None


def check_same_labels(
    expected: Sequence[str], found: Sequence[str], *, where: object, hint: str | None = None
) -> None:
    """Raise LabelError unless two label sets are equal, order included."""
    if tuple(expected) != tuple(found):
        raise LabelError(
            "label sets differ",
            expected=list(expected),
            found=list(found),
            where=where,
            hint=hint,
        )


@dataclass(frozen=True, slots=True)
class LabelMapping:
    """How the indices of one label set translate to another.

    Attributes:
        source: Class names of the data, in index order.
        target: Class names of the model, in index order.
        index: For each source index its target index, or None if the class is dropped.
        merged: Source class → target class, where the names differ.
        dropped: Source classes without a counterpart; their samples are left out of the metrics.
        unused: Target classes that no source class maps to; the model may still predict them
            (policy "keep"), or they are masked out of its predictions (policy "drop").
        policy: The policy behind this mapping.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    index: tuple[int | None, ...]
    merged: Mapping[str, str]
    dropped: tuple[str, ...]
    unused: tuple[str, ...]
    policy: LabelPolicy

    def describe(self) -> str:
        """One line for reports: merged, dropped and unused classes."""
        parts = [f"{a} → {b}" for a, b in self.merged.items()]
        if self.dropped:
            parts.append(f"dropped from the data: {', '.join(self.dropped)}")
        if self.unused:
            how = "masked out" if self.policy == "drop" else "kept as possible predictions"
            parts.append(
                f"classes of the model that the data lacks ({how}): {', '.join(self.unused)}"
            )
        return "; ".join(parts) if parts else "label sets agree"


def map_labels(
    source: Sequence[str],
    target: Sequence[str],
    *,
    policy: LabelPolicy = "strict",
    merge: Mapping[str, str] | None = None,
) -> LabelMapping:
    """Map the classes of a dataset onto the classes of a model.

    Names are compared literally after `merge` has been applied to the source. The policies:
    "strict" — both sets must hold the same classes (the order may differ); "drop" — source classes
    without a counterpart are left out, and target classes that the source lacks are masked out of
    the predictions; "keep" — like "drop", but the model may still predict those classes.

    Args:
        source: Class names of the data, in index order.
        target: Class names of the model, in index order.
        policy: What to do with classes of one side only.
        merge: Source class → target class to read it as, such as {"contempt": "disgust"}.

    Raises:
        LabelError: Strict sets differ, a merge names an unknown class, a class is named twice, the
            policy is unknown, or no class is left.
    """
    source, target, merge = tuple(source), tuple(target), dict(merge or {})
    _check_policy(policy)
    for labels in (source, target):
        if len(set(labels)) < len(labels):
            raise LabelError("a label set names a class twice", found=list(labels))
    _check_merge(merge, source, target)

    # Class names of the data after merging, and their target indices
    names = [merge.get(name, name) for name in source]
    index = tuple(target.index(name) if name in target else None for name in names)
    dropped = tuple(name for name, i in zip(source, index, strict=True) if i is None)
    unused = tuple(name for name in target if name not in names)

    if policy == "strict" and (dropped or unused):
        sides = (("the data", dropped), ("the model", unused))
        extra = [f"only {side} has {', '.join(classes)}" for side, classes in sides if classes]
        raise LabelError(
            f"label sets differ, {' and '.join(extra)}{' after merging' if merge else ''}",
            expected=list(target),
            found=list(source),
            hint=" ".join([*_nearest_classes(dropped, target), POLICY_HINT]),
        )
    if len(dropped) == len(source):
        raise LabelError(
            "the label sets share no class",
            expected=list(target),
            found=list(source),
            hint=MERGE_HINT,
        )
    return LabelMapping(source, target, index, merge, dropped, unused, policy)


def _nearest_classes(names: Sequence[str], target: Sequence[str]) -> list[str]:
    """A sentence for each class of the data that is nearly spelled like a class of the model."""
    pairs = [(name, nearest_expression(name)) for name in names if name not in CANONICAL]
    return [f"{name!r} is nearest to {near!r}." for name, near in pairs if near in target]


def _check_policy(policy: str) -> None:
    policies = get_args(LabelPolicy)
    if policy not in policies:
        raise LabelError(
            f"unknown label policy {policy!r}",
            expected=f"one of {', '.join(policies)}",
            hint=did_you_mean(str(policy), policies),
        )


def _check_merge(merge: Mapping[str, str], source: Sequence[str], target: Sequence[str]) -> None:
    for name, merged_name in merge.items():
        if name not in source or merged_name not in target:
            classes = f"a class of the data ({', '.join(source)})"
            raise LabelError(
                f"cannot merge {name!r} into {merged_name!r}",
                expected=f"{classes} and one of the model ({', '.join(target)})",
            )
