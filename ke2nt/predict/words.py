"""Any words as classes, embedded as the model's own class prompts were."""

from __future__ import annotations

from collections.abc import Sequence

from ke2nt.errors import ModelError, PromptError, TextEncoderError
from ke2nt.models.recogniser import Recogniser
from ke2nt.prompts.prompt_set import PAPER_TEMPLATE, PromptSet
from ke2nt.text.bank import TextBank

__all__ = ["bank_of_words"]


def bank_of_words(
    model: Recogniser, own: TextBank | None, classes: Sequence[str] | PromptSet
) -> TextBank:
    """Text embeddings of new classes from the encoder that a model was trained with.

    Args:
        model: A recogniser with a text head.
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
    facts = own.provenance
    encoder = facts.get("encoder")
    if not isinstance(encoder, str):
        raise TextEncoderError(
            "the model does not say which text encoder it was trained with",
            expected="an encoder in the provenance of its text bank",
            hint="Classes of your own need a model whose bank was made by TextBank.build.",
        )
    prompts = (
        classes
        if isinstance(classes, PromptSet)
        else PromptSet.from_words(classes, _templates(facts.get("prompt_set")))
    )
    bank = TextBank.build(prompts, encoder)
    for name in ("weights", "tokenizer"):
        if facts.get(name) != bank.provenance.get(name):
            raise TextEncoderError(
                f"the text encoder {encoder!r} is not the one that the model was trained with "
                f"(its {name} differ)",
                expected=facts.get(name),
                found=bank.provenance.get(name),
            )
    return bank


def _templates(prompt_set: object) -> tuple[str, ...]:
    try:
        shipped = PromptSet.load(prompt_set) if isinstance(prompt_set, str) else None
    except PromptError:
        shipped = None
    return (shipped.templates if shipped else ()) or (PAPER_TEMPLATE,)
