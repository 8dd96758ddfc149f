"""Class folders of a dataset whose label set is fixed, named by words or by its numbers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ke2nt.datasets.base import list_folders
from ke2nt.datasets.class_folders import ClassTree, read_class_tree
from ke2nt.datasets.class_numbers import class_number
from ke2nt.datasets.class_words import canonical_or_same, remark_on_words
from ke2nt.datasets.finding import Finding, make_finding
from ke2nt.labels import CANONICAL, DATASET_LABELS, FIRST_CODE

__all__ = [
    "FixedClassFolders",
    "candidate_roots",
    "explain_fixed_classes",
    "find_fixed_classes",
]

_USUAL_ORDER = ("train", "val", "test", "all")


@dataclass(frozen=True)
class FixedClassFolders:
    """Class folders of a known dataset.

    Attributes:
        tree: The folders.
        words: Class word → class, or None for a class that is left out.
        classes: The dataset's label set, then class words that are no expressions.
    """

    tree: ClassTree
    words: Mapping[str, str | None]
    classes: tuple[str, ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits in the usual order."""
        names = self.tree.splits
        usual = [name for name in _USUAL_ORDER if name in names]
        return (*usual, *sorted(set(names) - set(usual)))

    def samples(self, split: str) -> Iterator[tuple[Path, int]]:
        """Image and class index of each sample of a split."""
        for word, path in self.tree.images(split):
            name = self.words[word]
            if name is not None:
                yield path, self.classes.index(name)

    def findings(self) -> list[Finding]:
        """Remarks on how the folders are read."""
        findings = self.tree.findings()

        # numbers mean other classes in other datasets
        numbers = {
            word: name for word, name in self.words.items() if class_number(word) is not None
        }
        if numbers:
            lines = [f"{word} {name or 'left out'}" for word, name in sorted(numbers.items())]
            message = f"class folders are numbers, read as {', '.join(lines)}"
            hint = "If they mean others, use the dataset folder with --option classes=A,B,…."
            findings.append(make_finding("note", "numbered_classes", message, lines, hint))

        left_out = sorted(word for word, name in self.words.items() if name is None)
        if left_out:
            message = f"class folders are left out: {', '.join(left_out)}"
            hint = "The dataset's label set does not have these classes."
            findings.append(make_finding("note", "left_out_classes", message, left_out, hint))
        own = [word for word, name in self.words.items() if name == word]
        return [*findings, *remark_on_words([*own, *CANONICAL], beyond=CANONICAL)]


def find_fixed_classes(
    root: Path,
    dataset: str,
    *,
    spellings: Mapping[str, str] | None = None,
    left_out: Collection[str] = (),
    left_out_codes: Iterable[int] = (),
    numbers: bool = True,
) -> FixedClassFolders | None:
    """The class folders of a dataset at a root, or in the only folder there; None without them.

    Words must be classes of the dataset, but for words that are no expressions, which become
    classes of their own. Numbers must be all the numbers that the dataset has.

    Args:
        root: Folder above the splits or classes.
        dataset: Key of `DATASET_LABELS`.
        spellings: Further spelling → class.
        left_out: Class words in lower case that are known, but not in the label set.
        left_out_codes: Numbers of such classes.
        numbers: Whether folders may be named by the dataset's numbers.
    """
    classes = DATASET_LABELS[dataset]
    codes = dict(enumerate(classes, start=FIRST_CODE.get(dataset, 0)))

    for candidate in candidate_roots(root):
        tree = read_class_tree(candidate)
        names = sorted(set(tree.words()))
        # another name than that of a split is what an archive is wrapped in
        if not names or not set(tree.splits) <= set(_USUAL_ORDER):
            continue
        # "none" beside numbers is a class that is left out, as its number would be
        words_out = [name for name in names if name.strip().lower() in left_out]
        numbered = [name for name in names if name not in words_out]
        if all(class_number(name) is not None for name in numbered):
            words = _read_numbers(numbered, codes, set(left_out_codes)) if numbers else None
            words = None if words is None else {**words, **dict.fromkeys(words_out)}
        else:
            words = _read_words(names, classes, spellings or {}, left_out)
        if words is not None:
            own = sorted({w for w in words.values() if w is not None and w not in classes})
            return FixedClassFolders(tree, words, (*classes, *own))
    return None


def explain_fixed_classes(root: Path, dataset: str) -> str | None:
    """Why class folders are not those of a dataset: a class that it does not have."""
    classes = DATASET_LABELS[dataset]
    for candidate in candidate_roots(root):
        names = {
            name: canonical_or_same(name, CANONICAL) for name in read_class_tree(candidate).words()
        }
        foreign = sorted(
            n for n, known in names.items() if known in CANONICAL and known not in classes
        )
        if foreign:
            return f"{', '.join(foreign)} is not a class of {dataset}"
    return None


def candidate_roots(root: Path, accept: Callable[[Path], bool] | None = None) -> list[Path]:
    """A root, and what archives wrap it in: the only folder in it, and the only one in that."""
    roots = [root]
    for _ in range(2):
        folders = list_folders(roots[-1])
        if len(folders) != 1:
            break
        roots.append(folders[0])
    return [path for path in roots if accept is None or accept(path)]


def _read_numbers(
    names: Sequence[str], codes: Mapping[int, str], left_out: Collection[int]
) -> dict[str, str | None] | None:
    """Number → class if exactly the dataset's numbers are there, beside those left out."""
    # "class001" counts from 1 in datasets whose own numbers count from 0
    if not all(name.isdecimal() for name in names):
        return None
    numbers = {name: int(name) for name in names}
    if set(numbers.values()) - set(left_out) != set(codes):
        return None
    return {name: codes.get(number) for name, number in numbers.items()}


def _read_words(
    names: Sequence[str],
    classes: Sequence[str],
    spellings: Mapping[str, str],
    left_out: Collection[str],
) -> dict[str, str | None] | None:
    """Word → class if the words are those of the dataset, but for a few that are no expressions."""
    words: dict[str, str | None] = {}
    for name in names:
        known = canonical_or_same(spellings.get(name.strip().lower(), name), CANONICAL)
        if known in classes:
            words[name] = known
        elif name.strip().lower() in left_out or known in left_out:
            words[name] = None
        elif known in CANONICAL:
            return None
        else:
            words[name] = name

    # at least half of the label set, or the folders are those of something else
    found = {word for word in words.values() if word in classes}
    own = [name for name, word in words.items() if word == name and word not in classes]
    return words if 2 * len(found) >= len(classes) and len(own) < len(found) else None
