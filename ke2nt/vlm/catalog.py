"""Text encoders by name, behind one small interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from ke2nt.errors import TextEncoderError
from ke2nt.runtime.cache_folder import cache_folder
from ke2nt.runtime.file_digests import FileDigests
from ke2nt.runtime.suggest import did_you_mean
from ke2nt.vlm.base import EncodedText, Fingerprint
from ke2nt.vlm.minilm import MiniLMEncoder
from ke2nt.vlm.open_clip import OpenClipEncoder
from ke2nt.vlm.transformers import TransformersEncoder

__all__ = [
    "DEFAULT_ENCODER",
    "DEFAULT_LOGIT_SCALE",
    "ENCODERS",
    "EncodedText",
    "Fingerprint",
    "TextEncoder",
    "get_encoder",
]

DEFAULT_ENCODER = "minilm"
# For encoders without a logit scale of their own; CLIP's learned scale ends at its cap of 100.
DEFAULT_LOGIT_SCALE = 100.0


@runtime_checkable
class TextEncoder(Protocol):
    """A frozen model that embeds prompts."""

    id: str

    def fingerprint(self) -> Fingerprint:
        """Digests of weights and tokenizer, without loading the model."""

    def check_lengths(self, prompts: Sequence[str]) -> None:
        """Raise PromptError that names every prompt that would be truncated."""

    def encode(self, prompts: Sequence[str]) -> EncodedText:
        """Embed prompts: (N, D) float32 as the tower gives them, and the logit scale."""


def _minilm(rest: str, digests: FileDigests) -> TextEncoder:
    if rest:
        raise TextEncoderError("minilm takes no further name", found=f"minilm:{rest}")
    return MiniLMEncoder(digests)


ENCODERS: Mapping[str, Callable[[str, FileDigests], TextEncoder]] = {
    "minilm": _minilm,
    "open_clip": OpenClipEncoder,
    "transformers": TransformersEncoder,
}
_FORMS = (
    "minilm, open_clip:ARCH/TAG, open_clip:ARCH/CHECKPOINT, open_clip:FOLDER, "
    "transformers:HUB-ID or transformers:FOLDER"
)


def get_encoder(spec: str, *, cache_dir: str | Path | None = None) -> TextEncoder:
    """The encoder for a name such as "open_clip:ViT-B-16/openai". Nothing is loaded yet.

    Args:
        spec: "minilm", "open_clip:ARCH/TAG-or-checkpoint", "open_clip:FOLDER", or
            "transformers:ID-or-folder".
        cache_dir: Where digests of large files are remembered; the cache folder unless given.

    Raises:
        TextEncoderError: No such encoder.
    """
    name, _, rest = spec.partition(":")
    if name not in ENCODERS or (not rest and name != "minilm"):
        raise TextEncoderError(
            f"unknown text encoder {spec!r}", expected=_FORMS, hint=did_you_mean(name, ENCODERS)
        )
    return ENCODERS[name](rest, FileDigests(cache_folder(cache_dir)))
