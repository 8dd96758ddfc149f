"""The cache of text banks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ke2nt.banks.bank_files import (
    FACTS,
    FORMAT_VERSION,
    TENSORS,
    read_bank,
    read_bank_facts,
    write_bank,
)
from ke2nt.banks.cache import BANKS, EntryCache, Recipe
from ke2nt.banks.ensemble import ENSEMBLE_RULE
from ke2nt.errors import CacheError
from ke2nt.runtime.atomic import atomic_folder

if TYPE_CHECKING:
    from ke2nt.banks.text_bank import TextBank

__all__ = ["BankCache", "BankRecipe"]


@dataclass(frozen=True, slots=True)
class BankRecipe(Recipe):
    """Everything that decides the content of a bank.

    Attributes:
        encoder: Id of the encoder, such as "open_clip:ViT-B-16/openai".
        weights: Digest of its weights.
        tokenizer: Digest of its tokenizer.
        prompts: Class → rendered prompts.
        anchor: Rendered prompts of the neutral anchor.
        ensemble: Rule that makes one vector of a class's prompts.
        dtype: Type of the stored numbers.
        version: Version of the file format.
    """

    encoder: str
    weights: str
    tokenizer: str
    prompts: Mapping[str, tuple[str, ...]]
    anchor: tuple[str, ...]
    ensemble: str = ENSEMBLE_RULE
    dtype: str = "float32"
    version: int = FORMAT_VERSION

    def same_words(self, other: BankRecipe) -> bool:
        """Return whether two recipes differ in nothing but the encoder's digests."""
        return self == replace(other, weights=self.weights, tokenizer=self.tokenizer)

    @classmethod
    def from_facts(cls, facts: Any) -> BankRecipe:
        """Read a recipe from JSON of unknown origin.

        Raises:
            ValueError: It is not a recipe.
        """
        if not isinstance(facts, dict):
            raise ValueError("no recipe in the provenance")

        names = ("encoder", "weights", "tokenizer", "ensemble", "dtype")
        for name in names:
            if not isinstance(facts.get(name), str):
                raise ValueError(f"the provenance has no {name}")

        # a class needs at least one prompt, and so does the anchor
        prompts, anchor = facts.get("prompts"), facts.get("anchor")
        if not isinstance(prompts, dict) or not all(map(_is_texts, prompts.values())):
            raise ValueError("the provenance has no prompts of each class")
        if not _is_texts(anchor) or type(facts.get("version")) is not int:
            raise ValueError("the provenance has no anchor prompts or no version")

        return cls(
            **{name: facts[name] for name in names},
            prompts={name: tuple(texts) for name, texts in prompts.items()},
            anchor=tuple(facts["anchor"]),
            version=facts["version"],
        )


class BankCache(EntryCache["TextBank"]):
    """Text banks by recipe.

    Args:
        folder: The cache folder; it is created by the first write.
        bank_class: `TextBank`; a parameter, because its file imports this one.
    """

    kind = BANKS

    def __init__(self, folder: Path, bank_class: type[TextBank]) -> None:
        super().__init__(folder)
        self.bank_class = bank_class

    def read(self, key: str) -> TextBank:
        """Read a bank and check all of it against its digests and its name."""
        folder = self.path(key)
        bank = read_bank(self.bank_class, folder / TENSORS, folder / FACTS, error=CacheError)
        _check_recipe(bank.provenance, key, bank.classes, folder)
        return bank

    def read_facts(self, key: str) -> dict[str, Any]:
        """Read and check the JSON of a bank."""
        folder = self.path(key)
        facts = read_bank_facts(folder / FACTS, error=CacheError)
        _check_recipe(facts["provenance"], key, tuple(facts["classes"]), folder)
        return facts

    def fetch(self, recipe: BankRecipe, make: Callable[[], TextBank]) -> tuple[TextBank, bool]:
        """Return the bank of a recipe; an absent or damaged one is made and stored.

        Args:
            recipe: What the bank is made from.
            make: Makes it. Of all processes that ask at the same time, at most one calls it.

        Returns:
            The bank, and whether it was in the cache.

        Raises:
            CacheError: The cache folder cannot be written.
        """

        def make_and_write() -> TextBank:
            bank = make()
            with self.writing(), atomic_folder(self.path(recipe.key)) as folder:
                write_bank(bank, folder / TENSORS, folder / FACTS)
            return bank

        return self.find_or_make(recipe.key, make_and_write)

    def find_by_words(self, recipe: BankRecipe) -> tuple[str, TextBank] | None:
        """Return key and bank of the newest entry with the same encoder name, prompts and rules."""
        # the digests are unknown, so every entry is compared, the newest first
        for entry in sorted(self.entries(), key=lambda entry: -entry.modified):
            if entry.facts is None:
                continue
            # `entries` has checked these facts already
            if not BankRecipe.from_facts(entry.facts["provenance"]).same_words(recipe):
                continue
            bank = self.find(entry.key, warn=True)
            if bank is not None:
                return entry.key, bank
        return None


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, str) for row in value)


def _check_recipe(
    provenance: dict[str, Any], key: str, classes: tuple[str, ...], folder: Path
) -> None:
    """Check that an entry is made from the recipe that its name stands for."""
    try:
        recipe = BankRecipe.from_facts(provenance)
        if recipe.key != key:
            raise ValueError("it was made from another recipe than its name says")
        if set(recipe.prompts) != set(classes):
            raise ValueError("its classes are not those of its prompts")
    except ValueError as error:
        raise CacheError("the text bank cannot be used", where=folder, found=error) from error
