"""Embeddings of single prompts, one row each, through the same encoders and cache as the banks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ke2nt.banks.bank_cache import BankCache, BankRecipe
from ke2nt.banks.build_bank import find_or_encode_bank
from ke2nt.banks.distinct import warn_of_notes
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import PromptError
from ke2nt.runtime.cache_folder import cache_folder
from ke2nt.vlm.base import TextEncoder
from ke2nt.vlm.catalog import DEFAULT_ENCODER, as_text_encoder

__all__ = ["embed_prompts"]


def embed_prompts(
    prompts: Sequence[str],
    encoder: str | TextEncoder = DEFAULT_ENCODER,
    cache_dir: str | Path | None = None,
) -> Tensor:
    """Embed prompts one by one; the text model is not loaded for prompts that are in the cache.

    The cache entry is a bank in which every prompt is a class. It is found by the encoder's
    digests and the distinct prompts, whatever their order.

    Args:
        prompts: N texts; repeated ones are encoded once.
        encoder: As for `TextBank.build`.
        cache_dir: Cache folder; None for `KE2NT_CACHE` or the platform's.

    Returns:
        (N, D) float32, as the text tower returns them.

    Raises:
        PromptError: There are no prompts, one is blank, or one would be truncated.
        TextEncoderError: The encoder is unknown or its files cannot be found or loaded.
        ConfigError: The dotted path of the encoder cannot be imported.
        MissingExtraError: minilm is needed and not installed.
        CacheError: The cache folder cannot be used.
    """
    _check_prompts(prompts)
    model = as_text_encoder(encoder, cache_dir=cache_dir)
    # sorted, so that the order of the request does not change the key
    texts = sorted(set(prompts))

    recipe = BankRecipe(
        encoder=model.id,
        weights="",
        tokenizer="",
        prompts={text: (text,) for text in texts},
        anchor=(texts[0],),
    )
    cache = BankCache(cache_folder(cache_dir), TextBank)
    bank = find_or_encode_bank(model, recipe, f"{len(texts)} single prompts", cache).bank
    warn_of_notes(bank.provenance.get("notes", ()))

    # rows in the order of the request, repeated prompts included
    row = {text: index for index, text in enumerate(bank.classes)}
    return bank.raw[[row[text] for text in prompts]]


def _check_prompts(prompts: Sequence[str]) -> None:
    if isinstance(prompts, str) or not prompts:
        raise PromptError("prompts must be a list of at least one text", found=repr(prompts))
    blank = [text for text in prompts if not text.strip()]
    if blank:
        raise PromptError("a prompt is blank", found=repr(blank[0]))
