"""The cache of text banks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ke2nt.banks.bank_content import BankContent
from ke2nt.banks.bank_files import FACTS, TENSORS, read_bank, read_facts, write_bank
from ke2nt.banks.text_recipe import Recipe
from ke2nt.errors import CacheError
from ke2nt.runtime.atomic import atomic_folder
from ke2nt.runtime.entries import EntryCache

__all__ = ["BankCache"]


class BankCache(EntryCache[BankContent]):
    """Text banks by recipe.

    Args:
        folder: The cache folder; it is made on the first write.
    """

    kind = "banks"

    def read(self, key: str) -> BankContent:
        """A bank, checked whole against its digests and its name."""
        folder = self.path(key)
        content = read_bank(folder / TENSORS, folder / FACTS, error=CacheError)
        _check_recipe(content.provenance, key, content.classes, folder)
        return content

    def facts(self, key: str) -> dict[str, Any]:
        """The JSON of a bank."""
        folder = self.path(key)
        found = read_facts(folder / FACTS, error=CacheError)
        _check_recipe(found["provenance"], key, tuple(found["classes"]), folder)
        return found

    def fetch(self, recipe: Recipe, make: Callable[[], BankContent]) -> tuple[BankContent, bool]:
        """The bank of a recipe, made and kept if absent; a damaged entry is named and made anew.

        Args:
            recipe: What the bank is made from.
            make: Makes it; called in at most one of all processes that ask at the same time.

        Returns:
            The bank, and whether it was in the cache.

        Raises:
            CacheError: The cache folder cannot be written.
        """

        def make_and_write() -> BankContent:
            content = make()
            with self.writing(), atomic_folder(self.path(recipe.key)) as aside:
                write_bank(content, aside / TENSORS, aside / FACTS)
            return content

        return self.find_or_make(recipe.key, make_and_write)

    def find_by_words(self, recipe: Recipe) -> tuple[str, BankContent] | None:
        """The newest sound entry of the same encoder name, prompts and rules, and its key."""
        for entry in sorted(self.entries(), key=lambda entry: -entry.modified):
            if entry.facts is None:
                continue
            if Recipe.from_facts(entry.facts["provenance"]).same_words(recipe):
                content = self.find(entry.key, warn=True)
                if content is not None:
                    return entry.key, content
        return None


def _check_recipe(
    provenance: dict[str, Any], key: str, classes: tuple[str, ...], folder: Path
) -> None:
    try:
        recipe = Recipe.from_facts(provenance)
        if recipe.key != key:
            raise ValueError("it was made from something else than its name says")
        if set(recipe.prompts) != set(classes):
            raise ValueError("its classes are not those of its prompts")
    except ValueError as error:
        raise CacheError("the text bank cannot be used", where=folder, found=error) from error
