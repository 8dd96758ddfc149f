"""Class words of folders and lists ("3 happy", "Surprise", "4") to the classes of a label set."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ke2nt.datasets.finding import Finding, make_finding
from ke2nt.errors import DataError, LabelError
from ke2nt.labels import CANONICAL, DATASET_LABELS, FIRST_CODE, canonical_name, nearest_expression
from ke2nt.runtime.formatting import first_few, printable
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["ClassWords", "canonical_or_same", "class_number", "remark_on_words", "resolve_words"]

# Words beside the expression in names such as "happy_faces" or "class 3"
_NOISE = (
    *("face", "faces", "image", "images", "img", "imgs", "photo", "photos", "people", "person"),
    *("class", "classes", "emotion", "emotions", "expression", "expressions", "label"),
)


@dataclass(frozen=True)
class ClassWords:
    """How the class words of a dataset are read.

    Attributes:
        classes: Label set in index order.
        index: Class word → class index.
    """

    classes: tuple[str, ...]
    index: Mapping[str, int]


def resolve_words(
    words: Iterable[str],
    *,
    where: Path,
    classes: str | Sequence[str] | None = None,
    codes: str | None = None,
) -> ClassWords:
    """The label set of a dataset with some class words, and the class of each word.

    Known expressions become canonical classes, in canonical order; other words stay classes, after
    those. Numbers say nothing by themselves: they need `codes`, or `classes` in their order.

    Args:
        words: Class words of the data.
        where: The dataset, for messages.
        classes: The label set, as a sequence or separated by commas.
        codes: Dataset whose numbers of classes these are, a key of `DATASET_LABELS`.

    Raises:
        DataError: Classes are numbers that nothing explains, or the label set repeats a class or
            lacks one of the data.
        LabelError: Two unknown words differ in case only.
    """
    counts = Counter(words)
    requested = None if classes is None else _split_names(classes)
    if codes is not None:
        names = _coded_classes(counts, codes, where)
    elif all(class_number(word) is not None for word in counts) and counts:
        names = _numbered_classes(counts, requested, where)
    else:
        names = {word: _canonical_or_word(word, requested) for word in counts}

    # all words of the data must be in a requested label set
    label_set = requested or _order(names.values())
    unknown = sorted(word for word, name in names.items() if name not in label_set)
    if unknown:
        raise DataError(
            f"the class {unknown[0]!r} is not in the label set",
            where=where,
            expected=f"only {', '.join(label_set)}",
            found=", ".join(f"{word} ({counts[word]})" for word in unknown),
            hint=did_you_mean(unknown[0], label_set),
        )
    return ClassWords(label_set, {word: label_set.index(name) for word, name in names.items()})


def canonical_or_same(word: str, classes: Collection[str]) -> str:
    """A class word as spelled in the label set ("3 happy" → "happiness"), or the word itself."""
    if word in classes:
        return word
    name = _find_expression(word)
    return name if name is not None and name in classes else word


def class_number(word: str) -> int | None:
    """The number that a class word consists of ("3", "class_3"), or None."""
    match = re.fullmatch(r"(?:([a-z]+)[\s_.-]*)?(\d{1,3})", word.strip().lower())
    if match is None or (match[1] is not None and match[1] not in _NOISE):
        return None
    return int(match[2])


def remark_on_words(words: Iterable[str], *, beyond: Collection[str] = CANONICAL) -> list[Finding]:
    """A warning about class words that are no expressions, with the nearest one.

    Nothing is said where no word is or resembles an expression: the dataset has its own classes.

    Args:
        words: Class words of the data.
        beyond: Classes that need no remark.
    """
    counts = Counter(words)
    unknown = [w for w in counts if canonical_or_same(w, beyond) not in beyond]
    lines = []
    for word in sorted(unknown):
        near = nearest_expression(word)
        hint = f" (nearest to {near!r})" if near else ""
        lines.append(f"'{printable(word)}'{hint}")

    if not unknown or (len(unknown) == len(counts) and not any(map(nearest_expression, unknown))):
        return []
    message = f"class names that are no known expressions: {first_few(lines)}"
    return [
        make_finding(
            "warning",
            "unknown_class",
            message,
            lines,
            "They stay classes of their own: rename them, or leave them out of an evaluation with "
            "--labels drop, or count them as others with --merge A=B.",
        )
    ]


def _find_expression(word: str) -> str | None:
    """The one expression that a class word names, beside numbers and words such as "faces"."""
    letters = [part for part in re.findall(r"[^\W\d_]+", word.lower()) if part not in _NOISE]
    try:
        return canonical_name(" ".join(letters))
    except LabelError:
        return None


def _canonical_or_word(word: str, classes: Sequence[str] | None) -> str:
    if classes is not None:
        return canonical_or_same(word, classes)
    return canonical_or_same(word, CANONICAL)


def _order(names: Iterable[str]) -> tuple[str, ...]:
    """Expressions in canonical order, then other names by alphabet."""
    words = set(names)
    others = sorted(words - set(CANONICAL))

    # "Bored" beside "bored" is most likely one class and a slip
    spellings: dict[str, list[str]] = defaultdict(list)
    for word in others:
        spellings[word.casefold()].append(word)
    for same in spellings.values():
        if len(same) > 1:
            raise LabelError(
                "names of classes differ in case only",
                found=", ".join(same),
                hint=_suggest_expressions(others),
            )
    return (*(name for name in CANONICAL if name in words), *others)


def _suggest_expressions(words: Iterable[str]) -> str | None:
    """A sentence about each word that resembles an expression: a slip seldom comes alone."""
    lines = [
        f"'{printable(word)}' is not an expression. Did you mean {near!r}?"
        for word in words
        if (near := nearest_expression(word))
    ]
    return " ".join(lines) or None


def _split_names(classes: str | Sequence[str]) -> tuple[str, ...]:
    parts = classes.split(",") if isinstance(classes, str) else classes
    names = tuple(str(name).strip() for name in parts)
    if len(set(names)) != len(names) or not all(names):
        raise DataError("classes must be different names", found=", ".join(names))
    return names


def _coded_classes(counts: Counter[str], codes: str, where: Path) -> dict[str, str]:
    """Word → class by the numbers of a dataset."""
    if codes not in DATASET_LABELS:
        raise DataError(
            f"unknown codes {codes!r}",
            expected=f"one of {', '.join(DATASET_LABELS)}",
            hint=did_you_mean(codes, DATASET_LABELS),
        )

    # words without a number in the dataset are named with their counts
    by_number = _numbers_of(codes)
    names, unknown = {}, []
    for word in counts:
        name = by_number.get(class_number(word))
        if name is None:
            unknown.append(word)
        else:
            names[word] = name
    if unknown:
        raise DataError(
            f"{codes} has no such class numbers",
            where=where,
            expected=_describe_codes(codes),
            found=", ".join(f"{word} ({counts[word]})" for word in sorted(unknown)),
        )
    return names


def _numbered_classes(
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


def _numbers_of(codes: str) -> dict[int | None, str]:
    """Number → class of a dataset."""
    return dict(enumerate(DATASET_LABELS[codes], start=FIRST_CODE.get(codes, 0)))


def _describe_codes(codes: str) -> str:
    return ", ".join(f"{number} {name}" for number, name in _numbers_of(codes).items())
