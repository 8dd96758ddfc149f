"""open_clip's text towers as modules; nothing here imports the library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ke2nt.vlm.prompt_tower import Tokens

__all__ = ["OpenClipText", "padding_shortening", "token_text"]


class OpenClipText(nn.Module):
    """The text tower of any model of open_clip: tokens → (N, D)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tokens) -> Tensor:
        return self.model.encode_text(tokens["input_ids"])


def padding_shortening(
    tower: OpenClipText,
) -> Callable[[Tokens], tuple[Tokens, Mapping[str, Tensor]]] | None:
    """Return what leaves out the padding, or None if the tower looks at it.

    A causal tower that is pooled at the end of the text gives the same embedding without the
    padding, for a fraction of the time; so does a tower of transformers, which masks it. Positions
    and mask of a causal tower have a fixed length and are cut with the tokens.
    """
    # older models are their own text tower
    model = tower.model
    text, prefix = (model.text, "model.text.") if hasattr(model, "text") else (model, "model.")
    if hasattr(text, "transformer") and hasattr(text, "pooler"):
        return partial(_cut_padding, text.config.pad_token_id)

    pool = getattr(text, "text_pool_type", getattr(text, "pool_type", None))
    mask: Any = getattr(text, "attn_mask", None)
    positions: Any = getattr(text, "positional_embedding", None)

    cuts = pool in ("argmax", "eos") and getattr(text, "cls_emb", None) is None
    if not cuts or not _is_causal(mask) or not isinstance(positions, Tensor):
        return None
    end_token: Any = getattr(text, "text_eos_id", getattr(text, "eos_id", None))

    def shorten(tokens: Tokens) -> tuple[Tokens, Mapping[str, Tensor]]:
        # the end of a text is its highest token, or a token of its own
        ids = tokens["input_ids"]
        ends = ids.argmax(-1) if pool == "argmax" else ids.eq(end_token).int().argmax(-1)
        length = int(ends.max()) + 1
        return {"input_ids": ids[:, :length]}, {
            f"{prefix}positional_embedding": positions.detach()[:length],
            f"{prefix}attn_mask": mask[:length, :length],
        }

    return shorten


def token_text(tokenizer: Any, token: int) -> str:
    """Text of a token number."""
    # open_clip's own tokenizer, or one of transformers within
    return str(getattr(tokenizer, "tokenizer", tokenizer).decode([token]))


def _cut_padding(padding: int, tokens: Tokens) -> tuple[Tokens, Mapping[str, Tensor]]:
    """Leave out the columns in which no text has a token."""
    ids = tokens["input_ids"]
    used = (ids != padding).any(dim=0).nonzero()
    return {"input_ids": ids[:, : int(used.max()) + 1]}, {}


def _is_causal(mask: Any) -> bool:
    if not isinstance(mask, Tensor) or mask.ndim != 2:
        return False
    return bool(torch.equal(mask == 0, torch.ones_like(mask).tril().bool()))
