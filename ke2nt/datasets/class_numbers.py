"""Numbers as class names: those of a dataset, or positions in a label set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from ke2nt.errors import DataError
from ke2nt.labels import DATASET_LABELS, FIRST_CODE
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["NOISE", "class_number", "counts_otherwise", "number_by_code", "number_by_position"]

# Words beside the expression in names such as "happy_faces" or "class 3"
NOISE = (
    *("face", "faces", "image", "images", "img", "imgs", "photo", "photos", "people", "person"),
    *("class", "classes", "emotion", "emotions", "expression", "expressions", "label"),
)


def class_number(word: str) -> int | None:
    """The number that a class word consists of ("3", "3.0", "class_3"), or None."""
    match = re.fullmatch(r"(?:([a-z]+)[\s_.-]*)?(\d{1,3})(?:\.0+)?", word.strip().lower())
    if match is None or (match[1] is not None and match[1] not in NOISE):
        return None
    return int(match[2])


def counts_otherwise(numbers: Collection[int | None], first: int, last: int) -> bool:
    """Whether numbers seem to count from another start than `first`, as from 1 in place of 0."""
    return first - 1 in numbers or (last + 1 in numbers and first not in numbers)


def number_by_code(counts: Counter[str], codes: str, where: Path) -> dict[str, str]:
    """Word → class by the numbers of a dataset."""
    if codes not in DATASET_LABELS:
        raise DataError(
            f"unknown codes {codes!r}",
            expected=f"one of {', '.join(DATASET_LABELS)}",
            hint=did_you_mean(codes, DATASET_LABELS),
        )

    # a few other numbers stay classes of their own, as unknown words do, and are remarked on
    by_number = _numbers_of(codes)
    numbered = {word: class_number(word) for word in counts}
    names = {
        word: by_number.get(n, word) if n is not None else word for word, n in numbered.items()
    }
    unknown = [word for word, n in numbered.items() if n not in by_number]
    if (
        2 * len(unknown) >= len(names)
        or any(numbered[word] is None for word in unknown)
        or counts_otherwise(numbered.values(), min(by_number), max(by_number))
    ):
        raise DataError(
            f"{codes} has no such class numbers",
            where=where,
            expected=_describe_codes(codes),
            found=", ".join(f"{word} ({counts[word]})" for word in sorted(unknown)),
        )
    return names


def number_by_position(
    counts: Counter[str], classes: Sequence[str] | None, where: Path
) -> dict[str, str]:
    """Word → class by position in the label set, where every word is a number."""
    if classes is not None and set(counts) <= set(classes):
        return {word: word for word in counts}

    # positions count from 0 if any number is 0, and from 1 if the last one is reached
    numbers = {word: number for word in counts if (number := class_number(word)) is not None}
    first = 0 if min(numbers.values()) == 0 else 1
    if classes is not None:
        reached = max(numbers.values()) - first + 1
        if reached <= len(classes) and (first == 0 or reached == len(classes)):
            return {word: classes[number - first] for word, number in numbers.items()}

    # name the datasets whose numbers fit, as one of them is most likely meant
    fitting = [c for c in DATASET_LABELS if set(numbers.values()) <= set(_numbers_of(c))]
    last = max(numbers.values())
    fitting = [
        c
        for c in fitting
        if (last in _numbers_of(c) and last + 1 not in _numbers_of(c))
        and c not in ("drawn", "jaffe")
    ]
    described = "; ".join(f"codes={c} ({_describe_codes(c)})" for c in fitting[:4])
    raise DataError(
        "the classes are numbers, and nothing says which expressions they are"
        if classes is None
        else "the class numbers do not fit the label set",
        where=where,
        expected="words such as happy, or one of the options below"
        if classes is None
        else f"numbers from 0 or 1 for {len(classes)} classes",
        found=", ".join(f"{word} ({counts[word]})" for word in sorted(counts)[:12]),
        hint="Add --option codes=DATASET for the numbers of a dataset"
        + (f": {described}" if described else "")
        + "; or --option classes=A,B,C with the classes in the order of the numbers. In a "
        "configuration: 'data.options={codes: DATASET}'.",
    )


def _numbers_of(codes: str) -> dict[int, str]:
    """Number → class of a dataset."""
    return dict(enumerate(DATASET_LABELS[codes], start=FIRST_CODE.get(codes, 0)))


def _describe_codes(codes: str) -> str:
    return ", ".join(f"{number} {name}" for number, name in _numbers_of(codes).items())
