"""Embeddings of single prompts, one row each, through the same encoders and cache as the banks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ke2nt.banks.bank_content import BankContent
from ke2nt.banks.build import encode_bank
from ke2nt.banks.text_cache import BankCache
from ke2nt.banks.text_recipe import Recipe
from ke2nt.errors import MissingExtraError, PromptError
from ke2nt.runtime.cache_folder import cache_folder
from ke2nt.vlm.base import WeightsUnavailableError
from ke2nt.vlm.catalog import DEFAULT_ENCODER, TextEncoder, get_encoder

__all__ = ["embed_prompts"]


def embed_prompts(
    prompts: Sequence[str],
    encoder: str | TextEncoder = DEFAULT_ENCODER,
    cache_dir: str | Path | None = None,
) -> Tensor:
    """Embed prompts one by one; the text model is not loaded for prompts that are in the cache.

    The cache entry is a bank in which every prompt is a class of its own. It is found by the
    encoder's digests and the distinct prompts, whatever their order.

    Args:
        prompts: N texts; repeated ones are encoded once.
        encoder: As for `TextBank.build`.
        cache_dir: Cache folder; `KE2NT_CACHE` or the platform's unless given.

    Returns:
        (N, D) float32, as the tower gives them.

    Raises:
        PromptError: There are no prompts, one is blank, or one would be truncated.
        TextEncoderError: The encoder is unknown or its files cannot be found or loaded.
        MissingExtraError: minilm is needed and not installed.
        CacheError: The cache folder cannot be used.
    """
    if isinstance(prompts, str) or not prompts:
        raise PromptError("prompts must be a list of at least one text", found=repr(prompts))
    if blank := [text for text in prompts if not text.strip()]:
        raise PromptError("a prompt is blank", found=repr(blank[0]))
    model = get_encoder(encoder, cache_dir=cache_dir) if isinstance(encoder, str) else encoder
    texts = sorted(set(prompts))
    content = _fetch(model, texts, BankCache(cache_folder(cache_dir)))
    row = {text: index for index, text in enumerate(content.classes)}
    return content.raw[[row[text] for text in prompts]]


def _fetch(model: TextEncoder, texts: list[str], cache: BankCache) -> BankContent:
    recipe = Recipe(
        encoder=model.id,
        weights="",
        tokenizer="",
        prompts={text: (text,) for text in texts},
        anchor=(texts[0],),
    )
    try:
        found = model.fingerprint()
    except (WeightsUnavailableError, MissingExtraError):
        if (known := cache.find_by_words(recipe)) is None:
            raise
        return known[1]
    recipe = replace(recipe, weights=found.weights, tokenizer=found.tokenizer)
    name = f"{len(texts)} single prompts"
    return cache.fetch(recipe, lambda: encode_bank(model, recipe, name))[0]
