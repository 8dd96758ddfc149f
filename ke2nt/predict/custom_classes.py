"""Any words as classes, embedded in the same way as the prompts the model was trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ModelError, PromptError, TextEncoderError
from ke2nt.models.base import ExpressionModel
from ke2nt.prompts.prompt_set import PAPER_TEMPLATE, PromptSet
from ke2nt.vlm.base import TextEncoder, WeightsUnavailableError
from ke2nt.vlm.catalog import DEFAULT_ENCODER, VISION_LANGUAGE_MODELS, get_text_encoder

__all__ = ["build_class_bank", "check_same_encoder", "find_encoder", "find_shipped_prompts"]


def build_class_bank(
    model: ExpressionModel,
    trained_bank: TextBank | None,
    classes: Sequence[str] | PromptSet,
    text_encoder: str | None = None,
) -> TextBank:
    """Embed new classes with the text encoder that a model was trained with.

    Args:
        model: A recognizer with a text head.
        trained_bank: The text bank that it was trained with; None for a linear head.
        classes: Words or a prompt set. Words are put into the templates of the model's prompt set
            if that is a shipped one, else into the template of the KE2NT paper.
        text_encoder: Where the text encoder is now, as for `get_text_encoder`; None for the name
            that the model stores.

    Raises:
        ModelError: The model has a linear head.
        TextEncoderError: The text encoder is unknown or unavailable, or its weights have changed.
        MissingExtraError: The text encoder is minilm and not installed.
        PromptError: A word or prompt is not valid.
    """
    if trained_bank is None:
        raise ModelError(
            "this model does not support custom classes",
            expected="a model with a text head",
            found=f"a {model.head} head",
        )

    # words alone take the templates that the model knows
    if isinstance(classes, PromptSet):
        prompts = classes
    else:
        shipped = find_shipped_prompts(trained_bank)
        templates = (shipped.templates if shipped else ()) or (PAPER_TEMPLATE,)
        prompts = PromptSet.from_words(classes, templates)

    # under its name, minilm has banks in the package that need nothing installed
    found = find_encoder(trained_bank, text_encoder)
    bank = TextBank.build(prompts, DEFAULT_ENCODER if found.id == DEFAULT_ENCODER else found)

    # an encoder of the same name may have other weights by now
    check_same_encoder(trained_bank, bank)
    return bank


def find_encoder(
    trained_bank: TextBank,
    text_encoder: str | None = None,
    *,
    cache_dir: str | Path | None = None,
) -> TextEncoder:
    """Return the text encoder that a model was trained with; nothing is loaded yet.

    Args:
        trained_bank: The model's text bank.
        text_encoder: Where it is now; None for the name that the bank stores.
        cache_dir: As for `get_text_encoder`.

    Raises:
        TextEncoderError: The bank does not record the encoder, it is not at hand, or what is named
            has other weights or another tokenizer.
    """
    stored = _stored_name(trained_bank)
    if text_encoder is None:
        return _find_stored(stored, cache_dir)

    # before anything is embedded
    encoder = get_text_encoder(text_encoder, cache_dir=cache_dir)
    _check_digests(trained_bank, asdict(encoder.fingerprint()), text_encoder)
    return encoder


def _find_stored(stored: str, cache_dir: str | Path | None) -> TextEncoder:
    """The encoder of a stored name, which for a local file or folder has no path."""
    try:
        return get_text_encoder(stored, cache_dir=cache_dir)
    except TextEncoderError as error:
        library, _, label = stored.partition(":")
        if library not in VISION_LANGUAGE_MODELS or isinstance(error, WeightsUnavailableError):
            raise
        raise TextEncoderError(
            f"the model stores the name of its text encoder, {stored}, but not where {label} is",
            expected="the text encoder that the model was trained with, for new words",
            hint=f"Name it: --text-encoder {library}:PATH (in Python: text_encoder=…).",
        ) from error


def _stored_name(trained_bank: TextBank) -> str:
    encoder = trained_bank.provenance.get("encoder")
    if not isinstance(encoder, str):
        raise TextEncoderError(
            "the model does not record which text encoder it was trained with",
            expected="an encoder in the provenance of its text bank",
            hint="Custom classes need a model whose text bank was created by TextBank.build.",
        )
    return encoder


def check_same_encoder(trained_bank: TextBank, bank: TextBank) -> None:
    """Check that two banks were made by the same text encoder.

    Raises:
        TextEncoderError: The weights or the tokenizer differ.
    """
    _check_digests(trained_bank, bank.provenance, str(bank.provenance.get("encoder")))


def _check_digests(trained_bank: TextBank, found: Mapping[str, Any], encoder: str) -> None:
    """Compare the digests of weights and tokenizer."""
    for name in ("weights", "tokenizer"):
        if trained_bank.provenance.get(name) != found.get(name):
            raise TextEncoderError(
                f"{encoder} is not the text encoder that the model was trained with (its {name} "
                f"{'differs' if name == 'tokenizer' else 'differ'})",
                expected=f"SHA-256 {trained_bank.provenance.get(name)}",
                found=found.get(name),
                hint="Name the right one with --text-encoder (in Python: text_encoder=…).",
            )


def find_shipped_prompts(bank: TextBank | None) -> PromptSet | None:
    """Load the shipped prompt set that a bank was built from, or None if it was another set."""
    name = bank.provenance.get("prompt_set") if bank else None
    if not isinstance(name, str):
        return None

    # a set of the user, or one of another version, is not found by its name
    try:
        return PromptSet.load(name)
    except PromptError:
        return None
