"""Class words of folders and lists ("3 happy", "Surprise", "4") to the classes of a label set."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ke2nt.datasets.class_numbers import NOISE, class_number, number_by_code, number_by_position
from ke2nt.datasets.finding import Finding, make_finding
from ke2nt.errors import DataError, LabelError
from ke2nt.labels import CANONICAL, canonical_name, nearest_expression
from ke2nt.runtime.formatting import first_few, printable
from ke2nt.runtime.suggest import did_you_mean

__all__ = [
    "ClassWords",
    "canonical_or_same",
    "remark_on_words",
    "resolve_words",
]


@dataclass(frozen=True)
class ClassWords:
    """How the class words of a dataset are read.

    Attributes:
        classes: Label set in index order.
        index: Class word → class index.
    """

    classes: tuple[str, ...]
    index: Mapping[str, int]

    def remarks(self, images: Mapping[str, int]) -> list[Finding]:
        """A warning about classes that are no expressions.

        Args:
            images: Class word → number of its images.
        """
        counts: Counter[str] = Counter()
        for word, count in images.items():
            counts[self.classes[self.index[word]]] += count
        return remark_on_words(counts, images=counts)


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
        names = number_by_code(counts, codes, where)
    elif all(class_number(word) is not None for word in counts) and counts:
        names = number_by_position(counts, requested, where)
    else:
        _refuse_values(counts, where)
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


def remark_on_words(
    words: Iterable[str],
    *,
    beyond: Collection[str] = CANONICAL,
    images: Mapping[str, int] | None = None,
) -> list[Finding]:
    """A warning about class words that are no expressions, with the nearest one.

    Nothing is said where no word is or resembles an expression: the dataset has its own classes.

    Args:
        words: Class words of the data.
        beyond: Classes that need no remark.
        images: Word → number of its images, where that is known.
    """
    counts = Counter(words)
    unknown = [w for w in counts if canonical_or_same(w, beyond) not in beyond]
    lines = []
    for word in sorted(unknown):
        near = nearest_expression(word)
        facts = [f"nearest to {near!r}"] if near else []
        if images is not None:
            facts.insert(0, f"{images[word]} images")
        lines.append(f"'{printable(word)}'" + (f" ({', '.join(facts)})" if facts else ""))

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
    letters = [part for part in re.findall(r"[^\W\d_]+", word.lower()) if part not in NOISE]
    try:
        return canonical_name(" ".join(letters))
    except LabelError:
        return None


def _refuse_values(words: Collection[str], where: Path) -> None:
    """Refuse labels that are all values, such as one-hot rows, scores or coordinates."""
    if words and all(re.fullmatch(r"[\d\s.,;:()\[\]+-]+", word) for word in words):
        raise DataError(
            "the labels are values, not classes",
            where=where,
            expected="one class in each line, as a word or a whole number",
            found=first_few(sorted(words), 4),
            hint="Write the name of the class in place of each value.",
        )


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
