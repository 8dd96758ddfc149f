"""A frozen text tower whose token embeddings can be replaced: it reads learned prompts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ke2nt.errors import TextEncoderError
from ke2nt.vlm.base import refuse_truncation

__all__ = ["PromptTower", "SlottedPrompts", "Tokens", "first_table"]

Tokens = dict[str, Tensor]
"""What a text tower reads: "input_ids" (N, L) int64, and for some "attention_mask" (N, L)."""

# words of one token that hold the places of vectors
_FILLERS = ("x", "v", "q", "z", "a", "o", "i", "the", "one", "face")


@dataclass(frozen=True, eq=False)
class SlottedPrompts:
    """N tokenized prompts, and where vectors take the place of tokens.

    Attributes:
        tokens: The tokens, with any word in each slot.
        rows: (S,) index of the prompt of each slot, in the order of prompts and within them.
        columns: (S,) its position within the prompt.
    """

    tokens: Tokens
    rows: Tensor
    columns: Tensor


class PromptTower:
    """A text tower that embeds prompts from token embeddings, with gradients for these alone.

    The tower's own code runs unchanged, whatever its mask, pooling and special tokens are: only the
    output of its token table is replaced.

    Args:
        encoder: Id of the encoder, for messages.
        tower: `tower(tokens)` is the tower's (N, D) embedding; it shares the encoder's weights.
        table: The table of token embeddings within it.
        tokenize: Texts → tokens, as the encoder reads them.
        count: Text → number of its tokens, special tokens included, before any truncation.
        limit: Context length in tokens.
        token_text: Token number → text of the token.
        shorten: Leaves out tokens that a tower does not look at, and says which parameters and
            buffers change with it.
    """

    def __init__(
        self,
        encoder: str,
        tower: nn.Module,
        table: nn.Embedding,
        *,
        tokenize: Callable[[list[str]], Tokens],
        count: Callable[[str], int],
        limit: int,
        token_text: Callable[[int], str],
        shorten: Callable[[Tokens], tuple[Tokens, Mapping[str, Tensor]]] | None = None,
    ) -> None:
        self.encoder = encoder
        self.limit = limit
        self.token_text = token_text
        self.count = count
        self._tower, self._table = tower, table
        self._tokenize = tokenize
        self._shorten = shorten
        # detached: no gradient is computed for the frozen weights, and none is stored in them
        self._weights = {name: value.detach() for name, value in tower.named_parameters()}

    @property
    def width(self) -> int:
        """Width W of the token embeddings."""
        return self._table.embedding_dim

    @property
    def device(self) -> torch.device:
        """Where the tower computes."""
        return self._table.weight.device

    @property
    def vocabulary(self) -> Tensor:
        """(V, W) the token table, detached."""
        return self._table.weight.detach()

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """Tokens of N texts, on the device of the tower."""
        return {name: ids.to(self.device) for name, ids in self._tokenize(list(texts)).items()}

    def plain_ids(self, text: str) -> list[int]:
        """Token numbers of a text without special tokens and padding."""
        # what a text has beyond another one that shares no word with it
        ids = self.tokenize([text])["input_ids"][0].tolist()
        filler = next(word for word in _FILLERS if word not in text.lower().split())
        other = Counter(self.tokenize([filler])["input_ids"][0].tolist())
        return [token for token in ids if token not in other]

    def embed_tokens(self, tokens: Tokens) -> Tensor:
        """(N, L, W) token embeddings, before positions are added."""
        return self._table(tokens["input_ids"]).detach()

    def encode(self, embeddings: Tensor, tokens: Tokens) -> Tensor:
        """Embed prompts from their token embeddings, as the tower would from its own.

        Args:
            embeddings: (N, L, W); gradients flow to them.
            tokens: Their tokens, by which the tower finds the end of each prompt.

        Returns:
            (N, D), any norm.
        """
        weights: dict[str, Tensor] = dict(self._weights)
        if self._shorten is not None:
            tokens, changed = self._shorten(tokens)
            weights.update(changed)
            embeddings = embeddings[:, : tokens["input_ids"].shape[1]]

        # the table is still called, so that a tower that uses its dtype or device works
        handle = self._table.register_forward_hook(lambda *_: embeddings)
        try:
            return functional_call(self._tower, weights, (tokens,))
        finally:
            handle.remove()

    def place(
        self, prompts: Sequence[Sequence[str | int]], names: Sequence[str] | None = None
    ) -> SlottedPrompts:
        """Tokenize prompts with slots.

        Args:
            prompts: N prompts, each as texts and numbers of slots in order: [4, " happy."].
            names: How messages call them; by default with a dash in each slot.

        Raises:
            PromptError: A prompt is longer than the tower reads.
            TextEncoderError: The tokenizer has no word of one token for the slots.
        """
        counts = [self.count(_fill(parts, _FILLERS[0])) for parts in prompts]
        shown = names or [_fill(parts, "-") for parts in prompts]
        refuse_truncation(shown, counts, self.limit, encoder=self.encoder)

        # each prompt gets a filler that it does not have among its own words
        filled = [self._fill_slots(parts) for parts in prompts]
        tokens = self.tokenize([text for text, _ in filled])
        fillers = torch.tensor([token for _, token in filled], device=self.device)
        rows, columns = (tokens["input_ids"] == fillers[:, None]).nonzero(as_tuple=True)
        return SlottedPrompts(tokens, rows, columns)

    def encode_slotted(self, prompts: SlottedPrompts, vectors: Tensor) -> Tensor:
        """Embed prompts with vectors in their slots.

        Args:
            prompts: From `place`.
            vectors: (S, W), one for each slot in order; gradients flow to them.

        Returns:
            (N, D), any norm.
        """
        embeddings = self.embed_tokens(prompts.tokens)
        filled = embeddings.index_put((prompts.rows, prompts.columns), vectors.to(embeddings))
        return self.encode(filled, prompts.tokens)

    def _fill_slots(self, parts: Sequence[str | int]) -> tuple[str, int]:
        """A text with a word of one token in each slot, and the number of that token."""
        slots = sum(part for part in parts if isinstance(part, int))
        bare = self._count_ids(_fill([part for part in parts if isinstance(part, str)], ""))
        if slots == 0:
            return _fill(parts, ""), -1

        for word in _FILLERS:
            text = _fill(parts, word)
            # what the slots add must be that many of one token, which the text has nowhere else
            added = self._count_ids(text) - bare
            if len(added) == 1 and added.total() == slots:
                (token,) = added
                if token not in bare:
                    return text, token
        raise TextEncoderError(
            f"the tokenizer of {self.encoder} reads no short word as one token",
            expected=f"one of {', '.join(_FILLERS)} as one token",
            hint="Prompts cannot be learned with it.",
        )

    def _count_ids(self, text: str) -> Counter[int]:
        return Counter(self._tokenize([text])["input_ids"][0].tolist())


def first_table(layers: nn.Module) -> nn.Embedding:
    """Return the table of token embeddings, the first one in the layers of a text tower."""
    return next(layer for layer in layers.modules() if isinstance(layer, nn.Embedding))


def _fill(parts: Sequence[str | int], word: str) -> str:
    """A text with a word in each slot, one space between words, none before punctuation."""
    filled = [" " + " ".join([word] * p) if isinstance(p, int) else p for p in parts]
    return re.sub(r"\s+(?=[.,;:!?]|$)", "", " ".join("".join(filled).split()))
