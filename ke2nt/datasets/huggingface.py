"""The reader "huggingface": datasets in the Parquet files of Hugging Face."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from ke2nt.data.sample import EncodedImage, FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.datasets.class_words import remark_on_words, resolve_words
from ke2nt.datasets.finding import Finding, make_finding
from ke2nt.datasets.hub_dataset import download_dataset, hub_id
from ke2nt.datasets.parquet import Column, choose_columns, find_parquet, read_column, read_names
from ke2nt.datasets.unknown_codes import describe_numbers, unknown_codes_error
from ke2nt.errors import DataError

__all__ = ["HuggingFace"]


class HuggingFace(Reader):
    """Parquet files with a column of images and one of labels, in a folder or on the hub.

    Names of a ClassLabel become classes as those of folders do; other numbers need `codes` or
    `classes`. Rows whose label is null or -1, as test sets are published, have no label and are
    left out, and so are splits of such rows alone. The hub is only asked for a root such as
    `hub:user/name`.

    Args:
        root: Folder that holds the Parquet files, or "hub:user/name".
        image: Column of the images; by default the one that holds images.
        label: Column of the labels; by default the one with class names, or "label".
        subject: Column that names the person, if there is one.
        classes: Label set in index order, as a sequence or separated by commas.
        codes: Dataset whose numbers the labels are, such as rafdb for 1 to 7.
    """

    name = "huggingface"
    summary = "Parquet files of Hugging Face, on disk or hub:user/name; needs the extra tables"
    expected_tree = "data/train-00000-of-00001.parquet … (or train/0000.parquet, train.parquet)"
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def __init__(
        self,
        root: str | Path | None,
        *,
        image: str | None = None,
        label: str | None = None,
        subject: str | None = None,
        classes: str | Sequence[str] | None = None,
        codes: str | None = None,
    ) -> None:
        name = hub_id(root)
        super().__init__(download_dataset(name) if name is not None else root)
        self._files = find_parquet(self.root)

        # all splits have the same columns and the same names of classes
        first = next(iter(self._files.values()))[0]
        self._image, self._label = choose_columns(first, image, label)
        self._subject = subject
        self._names = read_names(self.root, first, self._label)
        self.splits = tuple(split for split in self._files if split not in self._unlabeled)
        if not self.splits:
            raise self._no_labels(next(iter(self._files)))
        self._check_labels()
        self._words = resolve_words(
            self._all_words(), where=self.root, classes=classes, codes=codes
        )
        self.classes = self._words.classes

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return bool(find_parquet(root))

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        for path in self._files[split]:
            images, labels = self._read(path, self._image), self._labels[path]
            people = self._read(path, self._subject) if self._subject else [None] * len(labels)
            for row, (image, label, person) in enumerate(zip(images, labels, people, strict=True)):
                word = self._word(label)
                if word is not None:
                    yield FaceSample(
                        f"{self.relative(path)}:{row}",
                        EncodedImage(image or b""),
                        self._words.index[word],
                        subject=None if person is None else str(person),
                    )

    def check_split(self, split: str) -> None:
        if split in self._unlabeled:
            raise self._no_labels(split)
        super().check_split(split)

    def remarks(self) -> Iterator[Finding]:
        yield from remark_on_words(self._all_words())
        for split, paths in self._files.items():
            rows = [
                f"{self.relative(path)}:{row}"
                for path in paths
                for row, label in enumerate(self._labels[path])
                if _is_missing(label)
            ]

            # a split without labels is not among those of the reader
            if split in self._unlabeled:
                message = f"the split {split} has no labels and is left out, {len(rows)} rows"
                hint = "A split without labels can neither be learned from nor be evaluated on."
                yield make_finding("note", "unlabeled", message, rows, hint)
            elif rows:
                message = f"{len(rows)} rows of {split} have no label and are left out"
                hint = f"Their {self._label!r} is null or -1."
                yield make_finding("note", "unlabeled", message, rows, hint)

    def _no_labels(self, split: str) -> DataError:
        count = sum(len(self._labels[path]) for path in self._files[split])
        return DataError(
            f"the split {split!r} of {self.name} has no labels",
            where=self.root,
            expected=f"classes in the column {self._label!r}",
            found=f"null or -1 in each of its {count} rows",
            hint=f"Use another split: {', '.join(self.splits)}."
            if self.splits
            else "Get a split with labels, or name their column with --option label=COLUMN.",
        )

    def _check_labels(self) -> None:
        """Raise DataError if labels have no name; all of them are named."""
        unknown = [label for label in self._stated_labels() if self._word(label) is None]
        if unknown:
            raise unknown_codes_error(
                unknown,
                where=f"{self.root}, column {self._label!r}",
                expected=describe_numbers(self._names),
                message="labels without a name",
                hint="Correct these rows, or name another column with --option label=COLUMN.",
            )

    def _all_words(self) -> list[str]:
        """Class words: all names of a ClassLabel, or the labels that occur."""
        return self._names or [str(label) for label in self._stated_labels()]

    def _stated_labels(self) -> Iterator[object]:
        """Labels of all rows that have one."""
        return (label for rows in self._labels.values() for label in rows if not _is_missing(label))

    def _word(self, label: object) -> str | None:
        """The class word of a label; None without a label, or without a name for it."""
        if _is_missing(label):
            return None
        if self._names and isinstance(label, int | float):
            return self._names[int(label)] if label in range(len(self._names)) else None
        word = str(label)
        return word if not self._names or word in self._names else None

    @cached_property
    def _labels(self) -> dict[Path, Column]:
        files = [path for paths in self._files.values() for path in paths]
        return {path: self._read(path, self._label) for path in files}

    @cached_property
    def _unlabeled(self) -> set[str]:
        """Splits that have rows, but none with a label."""
        labels = {
            s: [x for p in paths for x in self._labels[p]] for s, paths in self._files.items()
        }
        return {split for split, rows in labels.items() if rows and all(map(_is_missing, rows))}

    def _read(self, path: Path, column: str) -> Column:
        return read_column(path, column)


def _is_missing(label: object) -> bool:
    """Whether a row has no label; the package `datasets` writes -1 for it."""
    return label is None or label == -1 or (isinstance(label, float) and math.isnan(label))
