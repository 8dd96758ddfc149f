"""What a text bank is made from, and the key that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ke2nt.banks.ensemble import ENSEMBLE_RULE
from ke2nt.runtime.digest import digest_json

__all__ = ["FORMAT_VERSION", "Recipe"]

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Recipe:
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

    def facts(self) -> dict[str, Any]:
        """The recipe as plain JSON."""
        return {
            "encoder": self.encoder,
            "weights": self.weights,
            "tokenizer": self.tokenizer,
            "prompts": {name: list(texts) for name, texts in self.prompts.items()},
            "anchor": list(self.anchor),
            "ensemble": self.ensemble,
            "dtype": self.dtype,
            "version": self.version,
        }

    @property
    def key(self) -> str:
        """Hex SHA-256 of the recipe; the order of the classes does not matter."""
        return digest_json(self.facts())

    def same_words(self, other: Recipe) -> bool:
        """Whether two recipes differ in nothing but the encoder's digests."""
        return self == replace(other, weights=self.weights, tokenizer=self.tokenizer)

    @classmethod
    def from_facts(cls, facts: Any) -> Recipe:
        """Read a recipe from JSON of unknown origin.

        Raises:
            ValueError: It is not one.
        """
        if not isinstance(facts, dict):
            raise ValueError("no recipe in the provenance")
        for name in ("encoder", "weights", "tokenizer", "ensemble", "dtype"):
            if not isinstance(facts.get(name), str):
                raise ValueError(f"the provenance has no {name}")
        prompts, anchor = facts.get("prompts"), facts.get("anchor")
        if not isinstance(prompts, dict) or not all(map(_is_texts, prompts.values())):
            raise ValueError("the provenance has no prompts of each class")
        if not _is_texts(anchor) or type(facts.get("version")) is not int:
            raise ValueError("the provenance has no anchor prompts or no version")
        return cls(
            encoder=facts["encoder"],
            weights=facts["weights"],
            tokenizer=facts["tokenizer"],
            prompts={name: tuple(rows) for name, rows in prompts.items()},
            anchor=tuple(facts["anchor"]),
            ensemble=facts["ensemble"],
            dtype=facts["dtype"],
            version=facts["version"],
        )


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, str) for row in value)
