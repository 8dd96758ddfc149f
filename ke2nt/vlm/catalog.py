"""Text encoders and vision-language models by name. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ke2nt.errors import TextEncoderError
from ke2nt.runtime.cache_folder import cache_folder
from ke2nt.runtime.extensions import build_object, is_dotted_path
from ke2nt.runtime.file_digests import FileDigests
from ke2nt.runtime.renamed import warn_renamed
from ke2nt.runtime.suggest import did_you_mean
from ke2nt.vlm.base import EncodedText, Fingerprint, TextEncoder, VisionLanguageModel

__all__ = [
    "DEFAULT_ENCODER",
    "TEXT_ENCODERS",
    "VISION_LANGUAGE_MODELS",
    "as_text_encoder",
    "get_encoder",
    "get_text_encoder",
]

DEFAULT_ENCODER = "minilm"


def _open_clip(source: str, digests: FileDigests) -> VisionLanguageModel:
    from ke2nt.vlm.open_clip import OpenClipModel

    return OpenClipModel(source, digests)


def _transformers(source: str, digests: FileDigests) -> VisionLanguageModel:
    from ke2nt.vlm.transformers import TransformersModel

    return TransformersModel(source, digests)


def _minilm(source: str, digests: FileDigests) -> TextEncoder:
    from ke2nt.vlm.minilm import MiniLM

    return MiniLM(source, digests)


# adapters import torch, which takes a second; a wrong name is refused without it
VISION_LANGUAGE_MODELS: Mapping[str, Callable[[str, FileDigests], VisionLanguageModel]] = {
    "open_clip": _open_clip,
    "transformers": _transformers,
}
TEXT_ENCODERS: Mapping[str, Callable[[str, FileDigests], TextEncoder]] = {
    "minilm": _minilm,
    **VISION_LANGUAGE_MODELS,
}
_FORMS = (
    "minilm, open_clip:ARCH/TAG, open_clip:ARCH/CHECKPOINT, open_clip:FOLDER, "
    "transformers:HUB-ID, transformers:FOLDER or package.module.Name"
)


def get_text_encoder(spec: str, *, cache_dir: str | Path | None = None) -> TextEncoder:
    """Return the text encoder of a name such as "open_clip:ViT-B-16/openai". Nothing is loaded yet.

    Args:
        spec: "minilm", "open_clip:ARCH/TAG-or-checkpoint", "open_clip:FOLDER",
            "transformers:ID-or-folder", or the dotted path "package.module.Name" of a text
            encoder class that is created without arguments.
        cache_dir: Where digests of large files are remembered; None for the cache folder.

    Raises:
        TextEncoderError: No such encoder, or the class is not a text encoder.
        ConfigError: The dotted path cannot be imported.
    """
    # names of this package come first, so that no module can hide them
    name, _, source = spec.partition(":")
    if name not in TEXT_ENCODERS and is_dotted_path(spec):
        return _load_extension(spec)

    if name not in TEXT_ENCODERS or (not source and name != DEFAULT_ENCODER):
        raise TextEncoderError(
            f"unknown text encoder {spec!r}",
            expected=_FORMS,
            hint=did_you_mean(name, TEXT_ENCODERS),
        )
    return TEXT_ENCODERS[name](source, FileDigests(cache_folder(cache_dir)))


def get_encoder(spec: str, *, cache_dir: str | Path | None = None) -> TextEncoder:
    """Return a text encoder; the name of `get_text_encoder` before version 0.2."""
    warn_renamed("function", "get_encoder", "get_text_encoder")
    return get_text_encoder(spec, cache_dir=cache_dir)


def as_text_encoder(
    encoder: str | TextEncoder, *, cache_dir: str | Path | None = None
) -> TextEncoder:
    """Return a text encoder from its name or from an object.

    Args:
        encoder: A name as for `get_text_encoder`, or an object with `id`, `fingerprint`,
            `check_lengths` and `encode_text`. An object with `encode` in place of `encode_text`
            works for one more version.
        cache_dir: As for `get_text_encoder`.

    Raises:
        TextEncoderError: No such encoder, or the object is not a text encoder.
        ConfigError: The dotted path cannot be imported.
    """
    if isinstance(encoder, str):
        return get_text_encoder(encoder, cache_dir=cache_dir)
    if isinstance(encoder, type):
        raise TextEncoderError(
            "a class is not a text encoder",
            expected="an object of it",
            found=encoder.__name__,
            hint=f"Write {encoder.__name__}().",
        )

    # the method name before version 0.2
    if not hasattr(encoder, "encode_text") and hasattr(encoder, "encode"):
        warn_renamed("method", "encode", "encode_text")
        encoder = _EncoderWithOldName(encoder)

    required = ("id", "fingerprint", "check_lengths", "encode_text")
    missing = [name for name in required if not hasattr(encoder, name)]
    if missing:
        raise TextEncoderError(
            "not a text encoder",
            expected=f"an object with {', '.join(required)}",
            found=f"{type(encoder).__name__} without {', '.join(missing)}",
        )
    return encoder


def _load_extension(path: str) -> TextEncoder:
    """Create a user's text encoder from the dotted path of its class."""
    return as_text_encoder(build_object(path, kind="text encoder", error=TextEncoderError))


class _EncoderWithOldName:
    """An encoder whose class still calls `encode_text` by its old name `encode`."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self.id: str = encoder.id

    def fingerprint(self) -> Fingerprint:
        return self._encoder.fingerprint()

    def check_lengths(self, prompts: Sequence[str]) -> None:
        self._encoder.check_lengths(prompts)

    def encode_text(self, prompts: Sequence[str]) -> EncodedText:
        return self._encoder.encode(prompts)
