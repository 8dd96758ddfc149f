"""Prompts → bank: from the shipped banks, from the cache, or through the encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from ke2nt.banks.bank_cache import BankCache, BankRecipe
from ke2nt.banks.distinct import check_distinct_classes, describe_texts, warn_of_notes
from ke2nt.banks.ensemble import average, unit
from ke2nt.banks.learned_prompts import check_vectors_fit, read_learned_prompts
from ke2nt.banks.shipped_banks import find_shipped_bank
from ke2nt.errors import MissingExtraError, TextEncoderError
from ke2nt.labels import neutral_index
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.cache_folder import cache_folder
from ke2nt.runtime.provenance import package_versions
from ke2nt.vlm.base import DEFAULT_LOGIT_SCALE, EncodedText, TextEncoder, WeightsUnavailableError
from ke2nt.vlm.catalog import DEFAULT_ENCODER, as_text_encoder

if TYPE_CHECKING:
    from ke2nt.banks.text_bank import TextBank

__all__ = ["BuiltBank", "build_bank", "encode_bank", "find_or_encode_bank", "plan_recipe"]

Origin = Literal["shipped", "cache", "encoded"]


@dataclass(frozen=True, slots=True, eq=False)
class BuiltBank:
    """A bank and where it came from.

    Attributes:
        bank: The bank; it may hold more classes than requested, in another order.
        classes: The requested classes, in order.
        origin: "shipped" with the package, from the "cache", or "encoded" just now.
        key: Key of the cache entry, or None for a shipped bank.
    """

    bank: TextBank
    classes: tuple[str, ...]
    origin: Origin
    key: str | None


def build_bank(
    bank_class: type[TextBank],
    prompts: PromptSet | str | Path,
    encoder: str | TextEncoder = DEFAULT_ENCODER,
    classes: Sequence[str] | None = None,
    cache_dir: str | Path | None = None,
) -> BuiltBank:
    """Find or make the bank of a prompt set.

    Args:
        bank_class: `TextBank`; a parameter, because its file imports this one.
        prompts: As for `TextBank.build`, as are encoder, classes, cache_dir and the errors.
        encoder: See `prompts`.
        classes: See `prompts`.
        cache_dir: See `prompts`.
    """
    prompt_set = prompts if isinstance(prompts, PromptSet) else PromptSet.load(prompts)
    if not isinstance(encoder, str):
        encoder = as_text_encoder(encoder)
    encoder_id = encoder if isinstance(encoder, str) else encoder.id

    # rendered first: an unknown class is reported before anything is loaded
    recipe = plan_recipe(prompt_set, encoder_id, classes)
    requested = tuple(recipe.prompts)

    # a shipped bank needs neither the encoder's package nor the cache
    if encoder == DEFAULT_ENCODER:
        shipped = find_shipped_bank(recipe, bank_class)
        if shipped is not None:
            built = BuiltBank(_renamed(shipped, prompt_set.name), requested, "shipped", None)
            return _checked(built, encoder_id)

    model = as_text_encoder(encoder, cache_dir=cache_dir)
    cache = BankCache(cache_folder(cache_dir), bank_class)
    built = find_or_encode_bank(model, replace(recipe, encoder=model.id), prompt_set.name, cache)
    return _checked(replace(built, bank=_renamed(built.bank, prompt_set.name)), model.id)


def _checked(built: BuiltBank, encoder: str) -> BuiltBank:
    """Refuse requested classes that look the same to the encoder, and show the bank's notes."""
    bank = built.bank.select(built.classes)
    check_distinct_classes(bank.classes, bank.embeddings, encoder=encoder)
    warn_of_notes(bank.provenance.get("notes", ()))
    return built


def find_or_encode_bank(
    model: TextEncoder,
    recipe: BankRecipe,
    prompt_set: str,
    cache: BankCache,
) -> BuiltBank:
    """Take a bank from the cache, or encode and store it.

    If the encoder's files are absent, the newest entry with its name and the same prompts serves.

    Args:
        model: The text encoder.
        recipe: What is embedded; its digests are filled in here.
        prompt_set: Name of the prompt set, for the provenance.
        cache: Where banks are kept.

    Raises:
        PromptError: A prompt would be truncated, or was learned for another encoder.
        TextEncoderError: The encoder's files are absent and no entry serves.
        CacheError: The cache folder cannot be written.
    """
    classes = tuple(recipe.prompts)

    # without the files there are no digests; the encoder's name and the words must do
    try:
        fingerprint = model.fingerprint()
    except (WeightsUnavailableError, MissingExtraError):
        match = cache.find_by_words(recipe)
        if match is None:
            raise
        key, bank = match
        note = "the encoder's files are absent here; taken from the cache by its name and prompts"
        noted = replace(bank, provenance={**bank.provenance, "note": note})
        return BuiltBank(noted, classes, "cache", key)

    # the digests complete the key
    recipe = replace(recipe, weights=fingerprint.weights, tokenizer=fingerprint.tokenizer)
    texts = [text for group in (*recipe.prompts.values(), recipe.anchor) for text in group]
    check_vectors_fit(texts, model.id, fingerprint)
    model = read_learned_prompts(model, texts)
    bank, hit = cache.fetch(
        recipe, lambda: encode_bank(model, recipe, prompt_set, cache.bank_class)
    )
    return BuiltBank(bank, classes, "cache" if hit else "encoded", recipe.key)


def plan_recipe(
    prompts: PromptSet, encoder: str, classes: Sequence[str] | None = None
) -> BankRecipe:
    """Render the prompts of some classes and of the anchor; the encoder's digests stay empty.

    Args:
        prompts: A prompt set.
        encoder: Id of the text encoder.
        classes: Classes of the set in the requested order; None for all of them.

    Raises:
        PromptError: The prompt set has no such class, or one is named twice.
    """
    # the anchor is rendered from the whole set: the neutral class may not be among the chosen ones
    chosen = prompts if classes is None else prompts.with_classes(list(classes))
    return BankRecipe(
        encoder=encoder,
        weights="",
        tokenizer="",
        prompts={name: tuple(chosen.render(name)) for name in chosen.classes},
        anchor=tuple(prompts.render_anchor()),
    )


def encode_bank(
    encoder: TextEncoder, recipe: BankRecipe, prompt_set: str, bank_class: type[TextBank]
) -> TextBank:
    """Run the encoder on every prompt of a recipe.

    Args:
        encoder: The text encoder.
        recipe: Prompts of K classes and of the anchor.
        prompt_set: Name of the prompt set, for the provenance.
        bank_class: `TextBank`; a parameter, because its file imports this one.

    Raises:
        PromptError: A prompt would be truncated.
    """
    groups = [*recipe.prompts.values(), recipe.anchor]
    texts = list(dict.fromkeys(text for group in groups for text in group))  # each one once
    encoder.check_lengths(texts)
    encoded = _encode(encoder, texts)
    notes = [*encoded.notes, *describe_texts(texts, unit(encoded.embeddings), encoder)]

    # (K + 1, D) each; the last row is the anchor
    raw, embeddings = _average_groups(groups, texts, encoded.embeddings)

    scale = encoded.logit_scale
    return bank_class(
        embeddings=embeddings[:-1].clone(),
        raw=raw[:-1].clone(),
        neutral=embeddings[-1].clone(),
        neutral_raw=raw[-1].clone(),
        classes=tuple(recipe.prompts),
        neutral_index=_neutral_index(recipe),
        logit_scale=DEFAULT_LOGIT_SCALE if scale is None else scale,
        provenance={
            **recipe.facts(),
            "prompt_set": prompt_set,
            "logit_scale_from": "default" if scale is None else "encoder",
            "logit_bias": encoded.logit_bias,
            **encoded.facts,
            "notes": notes,
            "versions": package_versions(),
        },
    )


def _encode(encoder: TextEncoder, texts: Sequence[str]) -> EncodedText:
    """Embed texts, and check what the encoder of another package returns."""
    encoded = encoder.encode_text(texts)
    if isinstance(encoded, Tensor):
        encoded = EncodedText(encoded)
    rows = getattr(encoded, "embeddings", None)

    # (N, D)
    if not isinstance(rows, Tensor) or rows.ndim != 2 or len(rows) != len(texts):
        raise TextEncoderError(
            f"the text encoder {encoder.id!r} returns no embeddings",
            expected=f"EncodedText with a tensor ({len(texts)}, D), or that tensor",
            found=tuple(rows.shape) if isinstance(rows, Tensor) else type(encoded).__name__,
        )
    return encoded


def _average_groups(
    groups: Sequence[Sequence[str]], texts: Sequence[str], embeddings: Tensor
) -> tuple[Tensor, Tensor]:
    """Raw means and unit vectors (G, D) of G groups of texts.

    Args:
        groups: Texts of each group.
        texts: N distinct texts.
        embeddings: (N, D), a row for each text.
    """
    vectors = embeddings.detach().to("cpu", torch.float32)
    row = {text: index for index, text in enumerate(texts)}

    # (N_g, D) of each group → (D,) twice
    raw, unit_vectors = [], []
    for group in groups:
        mean, direction = average(vectors[[row[text] for text in group]])
        raw.append(mean)
        unit_vectors.append(direction)
    return torch.stack(raw), torch.stack(unit_vectors)


def _neutral_index(recipe: BankRecipe) -> int | None:
    """The class called neutral, else the one that the anchor is made of."""
    classes = tuple(recipe.prompts)
    index = neutral_index(classes)
    if index is not None:
        return index
    same = [i for i, name in enumerate(classes) if recipe.prompts[name] == recipe.anchor]
    return same[0] if same else None


def _renamed(bank: TextBank, prompt_set: str) -> TextBank:
    """The bank under the requested prompt set's name; equal prompts of two sets share an entry."""
    return replace(bank, provenance={**bank.provenance, "prompt_set": prompt_set})
