"""Any words as classes, embedded in the same way as the prompts the model was trained with."""

from __future__ import annotations

from collections.abc import Sequence

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ModelError, PromptError, TextEncoderError
from ke2nt.models.base import ExpressionModel
from ke2nt.prompts.prompt_set import PAPER_TEMPLATE, PromptSet

__all__ = ["build_class_bank", "check_same_encoder", "find_encoder_name", "find_shipped_prompts"]


def build_class_bank(
    model: ExpressionModel, trained_bank: TextBank | None, classes: Sequence[str] | PromptSet
) -> TextBank:
    """Embed new classes with the text encoder that a model was trained with.

    Args:
        model: A recognizer with a text head.
        trained_bank: The text bank that it was trained with; None for a linear head.
        classes: Words or a prompt set. Words are put into the templates of the model's prompt set
            if that is a shipped one, else into the template of the KE2NT paper.

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

    # an encoder of the same name may have other weights by now
    bank = TextBank.build(prompts, find_encoder_name(trained_bank))
    check_same_encoder(trained_bank, bank)
    return bank


def find_encoder_name(trained_bank: TextBank) -> str:
    """Name the text encoder that a model was trained with.

    Raises:
        TextEncoderError: Its text bank does not record the encoder.
    """
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
    for name in ("weights", "tokenizer"):
        if trained_bank.provenance.get(name) != bank.provenance.get(name):
            raise TextEncoderError(
                f"the text encoder is not the one the model was trained with (its {name} differ)",
                expected=trained_bank.provenance.get(name),
                found=bank.provenance.get(name),
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
