"""Prompts → bank: from the shipped banks, from the cache, or through the encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from ke2nt.banks.bank_content import BankContent
from ke2nt.banks.ensemble import average
from ke2nt.banks.shipped_banks import find_seed
from ke2nt.banks.text_cache import BankCache
from ke2nt.banks.text_recipe import Recipe
from ke2nt.errors import MissingExtraError
from ke2nt.labels import neutral_index
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.cache_folder import cache_folder
from ke2nt.runtime.provenance import package_versions
from ke2nt.vlm.base import WeightsUnavailableError
from ke2nt.vlm.catalog import DEFAULT_ENCODER, DEFAULT_LOGIT_SCALE, TextEncoder, get_encoder

__all__ = ["Built", "build_content", "encode_bank", "plan"]


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """A bank and where it came from.

    Attributes:
        content: The bank; it may hold more classes, in another order, than were asked for.
        classes: The classes that were asked for, in order.
        origin: "shipped" with the package, "cache", or "encoded" just now.
        key: Key of the cache entry, or None for a shipped bank.
    """

    content: BankContent
    classes: tuple[str, ...]
    origin: Literal["shipped", "cache", "encoded"]
    key: str | None


def build_content(
    prompts: PromptSet | str | Path,
    encoder: str | TextEncoder = DEFAULT_ENCODER,
    classes: Sequence[str] | None = None,
    cache_dir: str | Path | None = None,
) -> Built:
    """Find or make the bank of a prompt set; arguments and errors as for `TextBank.build`."""
    prompt_set = prompts if isinstance(prompts, PromptSet) else PromptSet.load(prompts)
    recipe = plan(prompt_set, encoder if isinstance(encoder, str) else encoder.id, classes)
    names = tuple(recipe.prompts)
    if encoder == DEFAULT_ENCODER and (seed := find_seed(recipe)) is not None:
        return Built(_named(seed, prompt_set.name), names, "shipped", None)

    cache = BankCache(cache_folder(cache_dir))
    model = get_encoder(encoder, cache_dir=cache_dir) if isinstance(encoder, str) else encoder
    recipe = replace(recipe, encoder=model.id)
    try:
        found = model.fingerprint()
    except (WeightsUnavailableError, MissingExtraError):
        if (known := cache.find_by_words(recipe)) is None:
            raise
        key, content = known
        note = "the encoder's files are absent here; taken from the cache by its name and prompts"
        return Built(_named(content, prompt_set.name, note=note), names, "cache", key)
    recipe = replace(recipe, weights=found.weights, tokenizer=found.tokenizer)
    content, hit = cache.fetch(recipe, lambda: encode_bank(model, recipe, prompt_set.name))
    content = _named(content, prompt_set.name)
    return Built(content, names, "cache" if hit else "encoded", recipe.key)


def _named(content: BankContent, prompt_set: str, **facts: str) -> BankContent:
    """The content under the name it was asked for by; equal prompts of two sets share an entry."""
    return replace(content, provenance={**content.provenance, "prompt_set": prompt_set, **facts})


def plan(prompts: PromptSet, encoder: str, classes: Sequence[str] | None = None) -> Recipe:
    """What would be embedded: the rendered prompts of some classes and of the anchor.

    Raises:
        PromptError: The prompt set has no such class, or one is named twice.
    """
    chosen = prompts if classes is None else prompts.with_classes(list(classes))
    return Recipe(
        encoder=encoder,
        weights="",
        tokenizer="",
        prompts={name: tuple(chosen.render(name)) for name in chosen.classes},
        anchor=tuple(prompts.render_anchor()),
    )


def encode_bank(encoder: TextEncoder, recipe: Recipe, prompt_set: str) -> BankContent:
    """Run the encoder on every prompt of a recipe.

    Raises:
        PromptError: A prompt would be truncated.
    """
    groups = [*recipe.prompts.values(), recipe.anchor]
    texts = list(dict.fromkeys(text for group in groups for text in group))
    encoder.check_lengths(texts)
    encoded = encoder.encode(texts)
    row = {text: index for index, text in enumerate(texts)}
    vectors = encoded.embeddings.detach().to("cpu", torch.float32)
    means = [average(vectors[[row[text] for text in group]]) for group in groups]
    raw, embeddings = (torch.stack(parts) for parts in zip(*means, strict=True))
    scale = encoded.logit_scale
    return BankContent(
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
            "versions": package_versions(),
        },
    )


def _neutral_index(recipe: Recipe) -> int | None:
    """The class called neutral, else the one that the anchor is made of."""
    names = tuple(recipe.prompts)
    index = neutral_index(names)
    if index is None:
        same = [i for i, name in enumerate(names) if recipe.prompts[name] == recipe.anchor]
        index = same[0] if same else None
    return index
