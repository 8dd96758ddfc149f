"""Typed words as classes of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ke2nt.app.memory_encoder import MemoryEncoder
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ModelError, PromptError
from ke2nt.models.base import ExpressionModel
from ke2nt.predict.custom_classes import check_same_encoder, find_encoder, find_shipped_prompts
from ke2nt.prompts.prompt_set import PAPER_TEMPLATE, PromptSet
from ke2nt.vlm.base import TextEncoder

__all__ = [
    "MAX_CLASSES",
    "MAX_PROMPTS",
    "ClassWords",
    "Vocabulary",
    "build_prompt_set",
    "format_words",
    "parse_words",
]

MAX_CLASSES = 40
MAX_PROMPTS = 400


@dataclass(frozen=True, eq=False)
class ClassWords:
    """Classes that faces are matched with.

    Attributes:
        classes: K names.
        bank: Their text embeddings; None for the classes the model was trained with.
    """

    classes: tuple[str, ...]
    bank: TextBank | None = None


class Vocabulary:
    """Turns typed words into text embeddings of the model's text encoder.

    Args:
        model: A recognizer.
        folder: Where embeddings of typed words are cached; a temporary folder keeps nothing.
        text_encoder: Where the model's text encoder is now; None for the name that it stores.

    Attributes:
        trained: The classes the model was trained with.
        default_words: Their words, as `parse_words` reads them.
        default_templates: The templates of the model, one per line.
    """

    def __init__(
        self, model: ExpressionModel, folder: Path, text_encoder: str | None = None
    ) -> None:
        self._bank = model.bank
        self._folder, self._text_encoder = folder, text_encoder
        self._encoder: TextEncoder | None = None
        self.trained = ClassWords(model.classes)

        # a bank does not keep its templates, but the shipped prompt set does
        shipped = _load_trained_prompts(model)
        words = shipped.classes if shipped else {name: (name,) for name in model.classes}
        templates = (shipped.templates if shipped else ()) or (PAPER_TEMPLATE,)
        self.default_words = format_words(words)
        self.default_templates = "\n".join(templates)

    @property
    def editable(self) -> bool:
        """Whether the model supports other classes than those it was trained with."""
        return self._bank is not None

    @property
    def encoder(self) -> TextEncoder:
        """The text encoder that the model was trained with, loaded at first use.

        Raises:
            ModelError: The model has a linear head.
            TextEncoderError: The encoder is unknown or unavailable.
        """
        if self._bank is None:
            raise ModelError("this model has a linear head, so its classes cannot be changed")
        if self._encoder is None:
            encoder = find_encoder(self._bank, self._text_encoder, cache_dir=self._folder)
            self._encoder = MemoryEncoder(encoder)
        return self._encoder

    def parse(self, words: str, templates: str) -> ClassWords:
        """Turn two texts into classes; the trained classes if both texts are unchanged.

        Args:
            words: As for `parse_words`.
            templates: Sentences with {class}, one per line.

        Raises:
            PromptError: A word or template is not valid, or there are too many.
            ModelError: The model has a linear head.
            TextEncoderError: The text encoder is unavailable, or has changed.
            MissingExtraError: The text encoder is not installed.
        """
        # blank lines and spaces change nothing
        texts = (_split_lines(words), _split_lines(templates))
        defaults = (_split_lines(self.default_words), _split_lines(self.default_templates))
        if texts == defaults:
            return self.trained

        prompts = build_prompt_set(words, templates)
        _check_size(prompts)
        bank = TextBank.build(prompts, self.encoder, cache_dir=self._folder)

        # with a linear head `self.encoder` has raised
        assert self._bank is not None
        check_same_encoder(self._bank, bank)
        return ClassWords(bank.classes, bank)


def parse_words(text: str) -> dict[str, list[str]]:
    """Parse class → words. Classes are separated by lines or commas; "joy: happy, glad" sets words.

    Raises:
        PromptError: There are fewer than two classes, or one is repeated.
    """
    classes: dict[str, list[str]] = {}
    for line in _split_lines(text):
        for name, words in _parse_line(line):
            if name in classes:
                raise PromptError(f"the class {name!r} is repeated")
            classes[name] = words

    # a single class would be an answer without alternative
    if len(classes) < 2:
        raise PromptError(
            "there are too few words",
            expected="two or more classes, such as bored and in pain",
            found=", ".join(classes) or "none",
        )
    return classes


def build_prompt_set(words: str, templates: str, *, name: str = "app") -> PromptSet:
    """Build a prompt set from two texts, see `Vocabulary.parse`.

    Raises:
        PromptError: A word or template is not valid.
    """
    return PromptSet(name=name, templates=_split_lines(templates), classes=parse_words(words))


def format_words(classes: Mapping[str, tuple[str, ...]]) -> str:
    """Inverse of `parse_words`, one class per line."""
    lines = []
    for name, words in classes.items():
        is_name_alone = words in ((), (name,))
        lines.append(name if is_name_alone else f"{name}: {', '.join(words)}")
    return "\n".join(lines)


def _parse_line(line: str) -> list[tuple[str, list[str]]]:
    """(class, words) of "joy: happy, glad", or of each class of "joy, rage"."""
    name, colon, words = line.partition(":")
    if colon:
        name = " ".join(name.split())
        return [(name, _split_items(words) or [name])]
    return [(item, [item]) for item in _split_items(line)]


def _split_items(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split(",") if part.strip()]


def _split_lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _check_size(prompts: PromptSet) -> None:
    num_classes = len(prompts.classes)
    num_prompts = sum(len(prompts.render(name)) for name in prompts.classes)
    if num_classes > MAX_CLASSES or num_prompts > MAX_PROMPTS:
        raise PromptError(
            "too many words at once",
            expected=f"at most {MAX_CLASSES} classes and {MAX_PROMPTS} prompts",
            found=f"{num_classes} classes and {num_prompts} prompts",
        )


def _load_trained_prompts(model: ExpressionModel) -> PromptSet | None:
    """Load the shipped prompt set that the bank of a model was built from."""
    shipped = find_shipped_prompts(model.bank)
    if shipped is None:
        return None

    # a set of this name may have other classes by now
    try:
        return shipped.with_classes(model.classes)
    except PromptError:
        return None
