"""The reader "huggingface": datasets in the Parquet files of Hugging Face."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ke2nt.data.sample import EncodedImage, FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.datasets.class_words import remark_on_words, resolve_words
from ke2nt.datasets.finding import Finding
from ke2nt.datasets.hub_dataset import download_dataset, hub_id
from ke2nt.datasets.parquet import Column, choose_columns, find_parquet, read_column, read_names

__all__ = ["HuggingFace"]


class HuggingFace(Reader):
    """Parquet files with a column of images and one of labels, in a folder or on the hub.

    Names of a ClassLabel become classes as those of folders do; other numbers need `codes` or
    `classes`. The hub is only asked for a root such as `hub:user/name`.

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
        self.splits = tuple(self._files)

        # all splits have the same columns and the same names of classes
        first = next(iter(self._files.values()))[0]
        self._image, self._label = choose_columns(first, image, label)
        self._subject = subject
        self._names = read_names(self.root, first, self._label)
        self._words = resolve_words(
            self._all_words(), where=self.root, classes=classes, codes=codes
        )
        self.classes = self._words.classes

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return bool(find_parquet(root))

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        for path in self._files[split]:
            images, labels = self._read(path, self._image), self._read(path, self._label)
            people = self._read(path, self._subject) if self._subject else [None] * len(labels)
            for row, (image, label, person) in enumerate(zip(images, labels, people, strict=True)):
                yield FaceSample(
                    f"{self.relative(path)}:{row}",
                    EncodedImage(image or b""),
                    self._words.index[self._word(label)],
                    subject=None if person is None else str(person),
                )

    def remarks(self) -> Iterable[Finding]:
        return remark_on_words(self._all_words())

    def _all_words(self) -> list[str]:
        """Class words: all names of a ClassLabel, or the labels that occur."""
        if self._names:
            return list(self._names)
        files = [path for paths in self._files.values() for path in paths]
        return [self._word(label) for path in files for label in self._read(path, self._label)]

    def _word(self, label: object) -> str:
        if self._names and isinstance(label, int):
            return self._names[label]
        return str(label)

    def _read(self, path: Path, column: str) -> Column:
        return read_column(path, column)
