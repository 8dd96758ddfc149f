"""How a sentence encoder makes one vector of its tokens."""

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

_MODES = {  # as sentence-transformers has written it, by version
    "mean": "mean",
    "cls": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
}
_LAYERS = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])


@dataclass(frozen=True, slots=True)
class SentencePooling:
    """Mean or first token, then perhaps unit norm.

    Attributes:
        mode: "mean" over the tokens that are not padding, or "cls" for the first.
        normalize: Whether the encoder itself ends with unit norm.
        max_tokens: Tokens the encoder was trained to read, where its folder says so.
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
            TextEncoderError: It pools in a way, or ends in a layer, that is not known here.
        """
        pooling = _json(find(cls.FILE))
        old = [name for name, on in pooling.items() if name.startswith("pooling_") and on is True]
        mode = str(pooling.get("pooling_mode", " and ".join(old)))
        modules = [str(row.get("type")).rpartition(".")[2] for row in _json(find("modules.json"))]
        if mode not in _MODES or modules not in _LAYERS:
            raise TextEncoderError(
                "unknown kind of sentence encoder",
                where=where,
                expected="mean or first-token pooling, and perhaps Normalize, after a Transformer",
                found=f"{mode or 'no'} pooling in the layers {', '.join(modules) or 'none'}",
            )
        limit = _json(find("sentence_bert_config.json")).get("max_seq_length")
        return cls(_MODES[mode], modules[2:] == ["Normalize"], limit)

    def facts(self) -> dict[str, Any]:
        """The settings as plain JSON."""
        return asdict(self)

    def __call__(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Pool token embeddings.

        Args:
            tokens: (N, T, D).
            mask: (N, T), 1 for tokens and 0 for padding.

        Returns:
            (N, D).
        """
        if self.mode == "cls":
            pooled = tokens[:, 0]
        else:
            weights = mask.unsqueeze(-1).to(tokens.dtype)
            pooled = (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        return l2_normalize(pooled) if self.normalize else pooled


def _json(path: Path | None) -> Any:
    return json.loads(path.read_bytes()) if path else {}
