"""Any words as classes, embedded as the model's own class prompts were."""

from __future__ import annotations

from collections.abc import Sequence

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ModelError, PromptError, TextEncoderError
from ke2nt.models.base import ExpressionModel
from ke2nt.prompts.prompt_set import PAPER_TEMPLATE, PromptSet

__all__ = ["bank_of_words", "check_encoder", "encoder_name", "shipped_set"]


def bank_of_words(
    model: ExpressionModel, own: TextBank | None, classes: Sequence[str] | PromptSet
) -> TextBank:
    """Text embeddings of new classes from the encoder that a model was trained with.

    Args:
        model: A recognizer with a text head.
        own: The bank that it was trained with.
        classes: Words, put into the templates of the model's own prompt set where that is a shipped
            one, else into KE2NT's; or a prompt set.

    Raises:
        ModelError: The model has a linear head.
        TextEncoderError: Its encoder is not known, cannot be had, or has other weights now.
        MissingExtraError: Its encoder is minilm and not installed.
        PromptError: A word or prompt is not valid.
    """
    if own is None:
        raise ModelError(
            "this model knows no words",
            expected="a model with a text head, for classes of your own",
            found=f"a {model.head} head",
        )
    shipped = shipped_set(own)
    templates = (shipped.templates if shipped else ()) or (PAPER_TEMPLATE,)
    prompts = (
        classes if isinstance(classes, PromptSet) else PromptSet.from_words(classes, templates)
    )
    bank = TextBank.build(prompts, encoder_name(own))
    check_encoder(own, bank)
    return bank


def encoder_name(own: TextBank) -> str:
    """The text encoder that a model was trained with.

    Raises:
        TextEncoderError: Its bank does not say.
    """
    encoder = own.provenance.get("encoder")
    if not isinstance(encoder, str):
        raise TextEncoderError(
            "the model does not say which text encoder it was trained with",
            expected="an encoder in the provenance of its text bank",
            hint="Classes of your own need a model whose bank was made by TextBank.build.",
        )
    return encoder


def check_encoder(own: TextBank, bank: TextBank) -> None:
    """Make sure that two banks are of the same text encoder.

    Raises:
        TextEncoderError: Its weights or tokenizer differ.
    """
    for name in ("weights", "tokenizer"):
        if own.provenance.get(name) != bank.provenance.get(name):
            raise TextEncoderError(
                "the text encoder is not the one that the model was trained with "
                f"(its {name} differ)",
                expected=own.provenance.get(name),
                found=bank.provenance.get(name),
            )


def shipped_set(own: TextBank | None) -> PromptSet | None:
    """The shipped prompt set that a bank was made of."""
    name = own.provenance.get("prompt_set") if own else None
    try:
        return PromptSet.load(name) if isinstance(name, str) else None
    except PromptError:
        return None
