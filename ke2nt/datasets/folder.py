"""The reader "folder": any faces sorted into one folder per class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ke2nt.data.sample import FaceSample
from ke2nt.datasets.base import Reader
from ke2nt.datasets.class_folders import find_class_folders, list_images, read_class_tree
from ke2nt.datasets.class_words import resolve_words
from ke2nt.datasets.finding import Finding
from ke2nt.datasets.name_schemes import find_name_scheme
from ke2nt.errors import LayoutError

__all__ = ["ImageFolder"]

_USUAL_ORDER = ("train", "val", "test")


class ImageFolder(Reader):
    """Images as `SPLIT/CLASS/*.png` or `CLASS/*.png` (with the single split `all`).

    Folder names that are known expressions ("happy", "3 happy") become canonical classes, in
    canonical order; other names are classes of their own. A class folder that is named as an
    expression may have subfolders. Numbers as names need an option. File names that follow the
    scheme of CK+, JAFFE, KDEF or RaFD tell the person.

    Args:
        root: Folder above the splits or classes.
        classes: Label set in index order, as a sequence or separated by commas. Other class
            folders are an error.
        codes: Dataset by whose numbers the folders are named, such as rafdb for 1 to 7.
    """

    name = "folder"
    summary = "Any images in one folder per class"
    expected_tree = "train/happiness/….png … (train, val, test)\nor: happiness/….png …"
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def __init__(
        self,
        root: str | Path | None,
        *,
        classes: str | Sequence[str] | None = None,
        codes: str | None = None,
    ) -> None:
        super().__init__(root)
        self._tree = read_class_tree(self.root)
        self.splits = tuple(sorted(self._tree.splits, key=_split_order))
        # all splits share one label set
        words = self._tree.words()
        self._words = resolve_words(words, where=self.root, classes=classes, codes=codes)
        self.classes = self._words.classes

    @classmethod
    def recognizes(cls, root: Path) -> bool:
        return bool(find_class_folders(root))

    def layout_error(self, message: str, *, hint: str | None = None) -> LayoutError:
        if hint is None and any(list_images(self.root)):
            count = sum(1 for _ in list_images(self.root))
            hint = (
                f"Its {count} pictures lie in no class folder: move them into one folder for each "
                "class, such as happy/ and sad/, or list them in manifest.csv (path,label) for the "
                "dataset manifest."
            )
        return super().layout_error(message, hint=hint)

    def read_samples(self, split: str) -> Iterable[FaceSample]:
        images = list(self._tree.images(split))
        scheme = find_name_scheme(path.name for _, path in images)
        for word, path in images:
            match = scheme.match(path.name) if scheme else None
            subject = match[1] if match else None
            yield FaceSample(self.relative(path), path, self._words.index[word], subject=subject)

    def remarks(self) -> Iterable[Finding]:
        # a word comes once for each image
        words = (word for split in self.splits for word, _ in self._tree.images(split))
        return [*self._tree.findings(), *self._words.remarks(Counter(words))]


def _split_order(name: str) -> tuple[int, str]:
    """Sort key: train, val, test, then others by name."""
    position = _USUAL_ORDER.index(name) if name in _USUAL_ORDER else len(_USUAL_ORDER)
    return position, name
