"""Banks that come with the package: minilm's embeddings of every shipped prompt set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ke2nt.banks.bank_cache import BankRecipe
from ke2nt.banks.bank_files import read_bank, read_bank_facts
from ke2nt.errors import CacheError

if TYPE_CHECKING:
    from ke2nt.banks.text_bank import TextBank

__all__ = ["SHIPPED_FOLDER", "find_shipped_bank", "shipped_bank_files"]

SHIPPED_FOLDER = Path(__file__).resolve().parent / "shipped"


def shipped_bank_files(name: str) -> tuple[Path, Path]:
    """Return tensors and facts of the shipped bank of a prompt set."""
    return SHIPPED_FOLDER / f"{name}.safetensors", SHIPPED_FOLDER / f"{name}.json"


def find_shipped_bank(recipe: BankRecipe, bank_class: type[TextBank]) -> TextBank | None:
    """Return a shipped bank with the same encoder, anchor, rules, and prompts of every class.

    Args:
        recipe: What is requested; its digests do not matter.
        bank_class: `TextBank`; a parameter, because its file imports this one.

    Raises:
        CacheError: A shipped bank is damaged.
    """
    for path in sorted(SHIPPED_FOLDER.glob("*.json")):
        try:
            facts = read_bank_facts(path, error=CacheError)
            shipped = BankRecipe.from_facts(facts["provenance"])
        except ValueError as error:
            raise CacheError("a shipped text bank is damaged", where=path, found=error) from error
        if _covers(shipped, recipe):
            return read_bank(bank_class, *shipped_bank_files(path.stem), error=CacheError)
    return None


def _covers(shipped: BankRecipe, requested: BankRecipe) -> bool:
    rules = ("encoder", "anchor", "ensemble", "dtype", "version")
    if any(getattr(shipped, name) != getattr(requested, name) for name in rules):
        return False
    return all(shipped.prompts.get(name) == texts for name, texts in requested.prompts.items())
