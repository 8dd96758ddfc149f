"""Banks that come with the package: minilm's embeddings of every shipped prompt set."""

from __future__ import annotations

from pathlib import Path

from ke2nt.banks.bank_content import BankContent
from ke2nt.banks.bank_files import read_bank, read_facts
from ke2nt.banks.text_recipe import Recipe
from ke2nt.errors import CacheError

__all__ = ["SEED_FOLDER", "find_seed", "seed_files"]

SEED_FOLDER = Path(__file__).resolve().parent / "shipped"


def seed_files(name: str) -> tuple[Path, Path]:
    """Tensors and facts of the shipped bank of a prompt set."""
    return SEED_FOLDER / f"{name}.safetensors", SEED_FOLDER / f"{name}.json"


def find_seed(wanted: Recipe) -> BankContent | None:
    """A shipped bank with the same encoder, anchor, rules, and prompts of every class wanted.

    Raises:
        CacheError: A shipped bank is damaged.
    """
    for path in sorted(SEED_FOLDER.glob("*.json")):
        try:
            seed = Recipe.from_facts(read_facts(path, error=CacheError)["provenance"])
        except ValueError as error:
            raise CacheError("a shipped text bank is damaged", where=path, found=error) from error
        if _covers(seed, wanted):
            return read_bank(*seed_files(path.stem), error=CacheError)
    return None


def _covers(seed: Recipe, wanted: Recipe) -> bool:
    same = (seed.encoder, seed.anchor, seed.ensemble, seed.dtype, seed.version) == (
        wanted.encoder,
        wanted.anchor,
        wanted.ensemble,
        wanted.dtype,
        wanted.version,
    )
    return same and all(seed.prompts.get(name) == rows for name, rows in wanted.prompts.items())
