"""Files of a model folder or of a hub repository, on this machine or fetched."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ke2nt.errors import TextEncoderError
from ke2nt.runtime.file_content import check_content
from ke2nt.runtime.hub_names import offline
from ke2nt.vlm.base import WeightsUnavailableError

__all__ = ["fetch", "needs_sentencepiece", "tokenizer_files"]

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
)
_OFFLINE = "none in the cache, and HF_HUB_OFFLINE forbids the network"
_SENTENCEPIECE_FILES = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model")


def tokenizer_files(source: str, *, encoder: str, origin: str | None = None) -> list[Path]:
    """Return the files of a tokenizer, from a folder or a hub id.

    Args:
        source: The folder or hub id.
        encoder: Id of the encoder that reads text with it, for messages.
        origin: Hub id that the tokenizer of a folder comes from, if it is known.

    Raises:
        WeightsUnavailableError: It is not on this machine and cannot be fetched.
        TextEncoderError: The folder has none.
    """
    files = [fetch(source, name) for name in _TOKENIZER_FILES]
    present = [path for path in files if path is not None]
    if present:
        return present

    without = "The image tower alone needs none: train it with text.encoder=minilm."
    if Path(source).is_dir():
        model = origin or "the model that the weights come from"
        raise TextEncoderError(
            f"the text of {encoder} needs a tokenizer, which its folder does not hold",
            where=source,
            expected=f"one of {', '.join(_TOKENIZER_FILES)}",
            hint=f"Copy the tokenizer files of {model} into the folder. {without}",
        )
    raise WeightsUnavailableError(
        f"the text of {encoder} needs the tokenizer {source}, which is not on this machine and "
        "cannot be fetched",
        expected=f"one of {', '.join(_TOKENIZER_FILES)}",
        found=_OFFLINE if offline() else "none in the cache, and no connection to the hub",
        hint=f"Connect once and type: hf download {source} tokenizer.json tokenizer_config.json. "
        f"{without}",
    )


def needs_sentencepiece(source: str) -> bool:
    """Whether a tokenizer has only files that the absent package sentencepiece reads."""
    if importlib.util.find_spec("sentencepiece") or fetch(source, "tokenizer.json"):
        return False
    return any(fetch(source, name) for name in _SENTENCEPIECE_FILES)


def fetch(source: str, name: str) -> Path | None:
    """A file of a folder or hub repository on this machine (fetched if need be), or None.

    Raises:
        TextEncoderError: The folder has something else under that name, such as a Git LFS pointer.
    """
    if Path(source).is_dir():
        path = Path(source) / name
        check_content(path, TextEncoderError)
        return path if path.is_file() else None
    from transformers.utils import cached_file

    try:
        path = cached_file(source, name)
    except (OSError, ValueError):
        return None
    return Path(path) if path else None
