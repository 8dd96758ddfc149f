"""How a sentence encoder makes one vector of its tokens, as sentence-transformers stores it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from ke2nt.errors import TextEncoderError
from ke2nt.runtime.l2_normalize import l2_normalize

__all__ = ["SentencePooling"]

_MODES = {  # as versions of sentence-transformers have written it
    "mean": "mean",
    "cls": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
}
_LAYERS = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])


@dataclass(frozen=True, slots=True)
class SentencePooling:
    """Mean or first token, then optionally unit norm.

    Attributes:
        mode: "mean" over the tokens that are not padding, or "cls" for the first.
        normalize: Whether the encoder itself ends with unit norm.
        max_tokens: Tokens that the encoder was trained to read, if its folder says so.
    """

    FILE: ClassVar[str] = "1_Pooling/config.json"

    mode: str
    normalize: bool
    max_tokens: int | None

    @classmethod
    def read(cls, find: Callable[[str], Path | None], *, where: str) -> SentencePooling:
        """Read the JSON files of a sentence encoder's folder.

        Args:
            find: Name inside the folder → file, or None.
            where: The encoder, for messages.

        Raises:
            TextEncoderError: Its pooling or its last layer is not supported.
        """
        # newer versions write one name, older ones a switch for each mode
        pooling = _read_json(find(cls.FILE))
        switches = [
            name for name, on in pooling.items() if name.startswith("pooling_") and on is True
        ]
        mode = str(pooling.get("pooling_mode", " and ".join(switches)))

        # "sentence_transformers.models.Pooling" → "Pooling"
        modules = _read_json(find("modules.json"))
        layers = [str(module.get("type")).rpartition(".")[2] for module in modules]

        if mode not in _MODES or layers not in _LAYERS:
            raise TextEncoderError(
                "unsupported kind of sentence encoder",
                where=where,
                expected="mean or first-token pooling after a Transformer, optionally Normalize",
                found=f"{mode or 'no'} pooling in the layers {', '.join(layers) or 'none'}",
            )
        limit = _read_json(find("sentence_bert_config.json")).get("max_seq_length")
        return cls(_MODES[mode], layers[2:] == ["Normalize"], limit)

    def facts(self) -> dict[str, Any]:
        """Return the settings as plain JSON; part of the encoder's fingerprint."""
        return asdict(self)

    def __call__(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Pool token embeddings.

        Args:
            tokens: (N, T, D).
            mask: (N, T), 1 for tokens and 0 for padding.

        Returns:
            (N, D).
        """
        # (N, T, D) → (N, D)
        if self.mode == "cls":
            pooled = tokens[:, 0]
        else:
            weights = mask.unsqueeze(-1).to(tokens.dtype)
            pooled = (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        return l2_normalize(pooled) if self.normalize else pooled


def _read_json(path: Path | None) -> Any:
    return json.loads(path.read_bytes()) if path else {}
