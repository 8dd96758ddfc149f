"""Words that somebody types, as classes that a model can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ke2nt.app.memory_encoder import MemoryEncoder
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ModelError, PromptError
from ke2nt.models.base import ExpressionModel
from ke2nt.predict.custom_classes import check_same_encoder, find_encoder_name, find_shipped_prompts
from ke2nt.prompts.prompt_set import PAPER_TEMPLATE, PromptSet
from ke2nt.vlm.base import TextEncoder
from ke2nt.vlm.catalog import get_text_encoder

__all__ = [
    "MOST_CLASSES",
    "MOST_PROMPTS",
    "Vocabulary",
    "Words",
    "parse_words",
    "prompt_set_of",
    "words_text",
]

MOST_CLASSES = 40
MOST_PROMPTS = 400


@dataclass(frozen=True, eq=False)
class Words:
    """Classes to ask for.

    Attributes:
        classes: K names.
        bank: Their text embeddings; None for the model's own classes.
    """

    classes: tuple[str, ...]
    bank: TextBank | None = None


class Vocabulary:
    """Turns typed words into text embeddings of a model's own text encoder.

    Args:
        model: A recognizer.
        folder: Where embedded words are kept; a folder that is thrown away keeps nothing.
    """

    def __init__(self, model: ExpressionModel, folder: Path) -> None:
        self._bank = model.bank
        self._folder = folder
        self._encoder: TextEncoder | None = None
        self.own = Words(model.classes)
        shipped = _own_set(model)
        self.default_words = words_text(
            shipped.classes if shipped else {name: (name,) for name in model.classes}
        )
        self.default_templates = "\n".join(
            (shipped.templates if shipped else ()) or (PAPER_TEMPLATE,)
        )

    @property
    def editable(self) -> bool:
        """Whether the model can be asked for other words than its own."""
        return self._bank is not None

    @property
    def encoder(self) -> TextEncoder:
        """The text encoder that the model was trained with, loaded when it is needed.

        Raises:
            ModelError: The model has a linear head.
            TextEncoderError: It is not known or cannot be had.
        """
        if self._bank is None:
            raise ModelError("this model has a linear head and knows no words but its classes")
        if self._encoder is None:
            encoder = get_text_encoder(find_encoder_name(self._bank), cache_dir=self._folder)
            self._encoder = MemoryEncoder(encoder)
        return self._encoder

    def of(self, words: str, templates: str) -> Words:
        """Classes from two texts; the model's own where they are as they were at first.

        Args:
            words: As for `parse_words`.
            templates: One sentence with {class} a line.

        Raises:
            PromptError: A word or template is not valid, or there are too many.
            ModelError: The model has a linear head.
            TextEncoderError: The text encoder cannot be had, or has changed.
            MissingExtraError: The text encoder is not installed.
        """
        typed = (_lines(words), _lines(templates))
        if typed == (_lines(self.default_words), _lines(self.default_templates)):
            return self.own
        prompts = prompt_set_of(words, templates)
        count = sum(len(prompts.render(name)) for name in prompts.classes)
        if len(prompts.classes) > MOST_CLASSES or count > MOST_PROMPTS:
            raise PromptError(
                "too many words at once",
                expected=f"at most {MOST_CLASSES} classes and {MOST_PROMPTS} prompts",
                found=f"{len(prompts.classes)} classes and {count} prompts",
            )
        bank = TextBank.build(prompts, self.encoder, cache_dir=self._folder)
        assert self._bank is not None  # else there is no encoder
        check_same_encoder(self._bank, bank)
        return Words(bank.classes, bank)


def parse_words(text: str) -> dict[str, list[str]]:
    """Class → words. Classes stand on lines or between commas; "joy: happy, glad" gives words.

    Raises:
        PromptError: There is no word, or a class is named twice.
    """
    found: dict[str, list[str]] = {}
    for line in _lines(text):
        name, colon, words = line.partition(":")
        name = " ".join(name.split())
        pairs = [(item, [item]) for item in _items(line)]
        for key, value in [(name, _items(words) or [name])] if colon else pairs:
            if key in found:
                raise PromptError(f"the class {key!r} is named twice")
            found[key] = value
    if not found:
        raise PromptError("there are no words", expected="at least one, such as bored")
    return found


def prompt_set_of(words: str, templates: str, *, name: str = "lab") -> PromptSet:
    """A prompt set from two texts, see `Vocabulary.of`.

    Raises:
        PromptError: A word or template is not valid.
    """
    return PromptSet(name=name, templates=_lines(templates), classes=parse_words(words))


def words_text(classes: Mapping[str, tuple[str, ...]]) -> str:
    """Inverse of `parse_words`, a class a line."""
    return "\n".join(
        name if words in ((), (name,)) else f"{name}: {', '.join(words)}"
        for name, words in classes.items()
    )


def _items(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split(",") if part.strip()]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _own_set(model: ExpressionModel) -> PromptSet | None:
    """The shipped prompt set that a model's bank was made of."""
    shipped = find_shipped_prompts(model.bank)
    try:
        return shipped and shipped.with_classes(model.classes)
    except PromptError:
        return None
