"""Models of transformers (CLIP, SigLIP, sentence encoders); the only file that imports it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch

from ke2nt.errors import TextEncoderError
from ke2nt.runtime.digest import digest_json
from ke2nt.runtime.file_digests import FileDigests
from ke2nt.vlm.base import (
    EncodedText,
    Fingerprint,
    WeightsUnavailableError,
    refuse_truncation,
)
from ke2nt.vlm.pooling import SentencePooling

__all__ = ["TransformersEncoder", "offline", "tokenizer_files"]

_BATCH = 64
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
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_INDEX = "model.safetensors.index.json"
_DUAL = ("clip", "siglip", "siglip2")

# Models in use, by digest: the image and the text side of one evaluation share theirs.
_IN_USE: WeakValueDictionary[str, Any] = WeakValueDictionary()


def offline() -> bool:
    """Whether the user forbids the network (`HF_HUB_OFFLINE`)."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _fetch(source: str, name: str) -> Path | None:
    """A file of a folder or hub repository on this machine (fetched if need be), or None."""
    if Path(source).is_dir():
        path = Path(source) / name
        return path if path.is_file() else None
    from transformers.utils import cached_file

    try:
        found = cached_file(source, name)
    except (OSError, ValueError):
        return None
    return Path(found) if found else None


def tokenizer_files(source: str) -> list[Path]:
    """Files of a tokenizer, from a folder or a hub id.

    Raises:
        WeightsUnavailableError: It is not on this machine and cannot be fetched.
        TextEncoderError: The folder has none.
    """
    files = [path for name in _TOKENIZER_FILES if (path := _fetch(source, name))]
    if files:
        return files
    expected = f"one of {', '.join(_TOKENIZER_FILES)}"
    if Path(source).is_dir():
        raise TextEncoderError("the folder holds no tokenizer", where=source, expected=expected)
    raise WeightsUnavailableError(
        f"no tokenizer of {source} on this machine, and none can be fetched",
        expected=expected,
        hint="Connect and try again, or name a local folder.",
    )


class TransformersEncoder:
    """A text tower of transformers with its own tokenizer, context length, pooling and scale.

    CLIP and SigLIP models give their text features; a sentence encoder's folder (with
    1_Pooling/config.json) gives its pooled tokens.

    Args:
        source: A local folder or a hub id.
        digests: Remembers digests of large files.
        id: Name in keys and messages; "transformers:SOURCE" unless given.

    Raises:
        TextEncoderError: No such folder, or not a possible hub id.
    """

    def __init__(self, source: str, digests: FileDigests, *, id: str | None = None) -> None:
        folder = Path(source).expanduser()
        self._digests = digests
        if folder.is_dir():
            self._source = str(folder.resolve())
            label = Path(self._source).name
        elif re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", source):
            self._source = label = source
        else:
            raise TextEncoderError(
                f"no folder {source!r}", expected="a folder, or a hub id such as ORG/NAME"
            )
        self.id = id or f"transformers:{label}"

    def fingerprint(self) -> Fingerprint:
        """Digests of weights and tokenizer; files of a hub id are fetched when absent.

        Raises:
            WeightsUnavailableError: They are not here and cannot be fetched.
        """
        config = _fetch(self._source, "config.json")
        weights = self._weight_files()
        if not weights or config is None:
            raise self._unavailable(expected=f"config.json and {' or '.join(_WEIGHT_FILES)}")
        pooling = self._pooling.facts() if self._pooling else None
        return Fingerprint(
            digest_json({"files": self._digests.of_all([config, *weights]), "pooling": pooling}),
            digest_json(self._digests.of_all(tokenizer_files(self._source))),
        )

    def check_lengths(self, prompts: Sequence[str]) -> None:
        """Raise PromptError that names every prompt longer than the context length."""
        counts = [len(self._tokenizer(text, verbose=False)["input_ids"]) for text in prompts]
        refuse_truncation(prompts, counts, self._limit, encoder=self.id)

    def encode(self, prompts: Sequence[str]) -> EncodedText:
        """Embed prompts; equals the model's own `get_text_features`, (N, D) float32."""
        model = self.load()
        with torch.no_grad():
            rows = [
                self._embed(model, list(prompts[start : start + _BATCH]))
                for start in range(0, len(prompts), _BATCH)
            ]
        scale, bias = (getattr(model, name, None) for name in ("logit_scale", "logit_bias"))
        return EncodedText(
            torch.cat(rows).cpu(),
            logit_scale=None if scale is None else float(scale.detach().exp()),
            logit_bias=None if bias is None else float(bias.detach()),
        )

    def load(self) -> Any:
        """The whole model in float32 and evaluation mode; shared while somebody holds it.

        Raises:
            WeightsUnavailableError: The weights are not here and cannot be fetched.
            TextEncoderError: They cannot be loaded.
        """
        key = self.fingerprint().weights
        if (known := _IN_USE.get(key)) is not None:
            return known
        _IN_USE[key] = model = self._load("AutoModel").float().eval()
        return model

    def image_settings(self) -> tuple[Any, Any]:
        """Side of the image tower's input in pixels, and the library's own image processor.

        Raises:
            TextEncoderError: The model has no image tower, or no image processor is saved with it.
        """
        if self._config.model_type not in _DUAL:
            raise TextEncoderError(
                f"{self.id} has no image tower",
                expected=f"a model of type {', '.join(_DUAL)}",
                found=f"type {self._config.model_type!r}",
            )
        side = getattr(self._config.vision_config, "image_size", None)
        return side, self._load("AutoImageProcessor")

    def _embed(self, model: Any, texts: list[str]) -> torch.Tensor:
        if self._pooling:
            tokens = self._tokenizer(texts, padding=True, return_tensors="pt").to(model.device)
            return self._pooling(model(**tokens)[0], tokens["attention_mask"])
        if self._config.model_type == "clip":
            tokens = self._tokenizer(texts, padding=True, return_tensors="pt").to(model.device)
            features = model.get_text_features(**tokens)
        else:  # SigLIP was trained on full-length texts whose padding is attended to
            tokens = self._tokenizer(
                texts, padding="max_length", max_length=self._limit, return_tensors="pt"
            )
            features = model.get_text_features(input_ids=tokens["input_ids"].to(model.device))
        # A tensor up to transformers 4, an output object from 5 on.
        return features if isinstance(features, torch.Tensor) else features.pooler_output

    def _weight_files(self) -> list[Path]:
        for name in _WEIGHT_FILES:
            if path := _fetch(self._source, name):
                return [path]
        if (index := _fetch(self._source, _INDEX)) is None:
            return []
        try:
            names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TextEncoderError("not an index of weights", where=index, found=error) from error
        shards = [_fetch(self._source, name) for name in names]
        return [path for path in shards if path] if all(shards) else []

    @cached_property
    def _limit(self) -> int:
        config = self._config if self._pooling else self._config.text_config
        limits = [config.max_position_embeddings, self._tokenizer.model_max_length]
        if self._pooling and self._pooling.max_tokens:
            limits.append(self._pooling.max_tokens)
        return int(min(limits))

    @cached_property
    def _pooling(self) -> SentencePooling | None:
        if self._config.model_type in _DUAL:
            return None
        if _fetch(self._source, SentencePooling.FILE) is None:
            raise TextEncoderError(
                f"{self.id} is no text encoder that ke2nt can use",
                expected=f"a model of type {', '.join(_DUAL)}, or {SentencePooling.FILE}",
                found=f"type {self._config.model_type!r}",
            )
        return SentencePooling.read(lambda name: _fetch(self._source, name), where=self.id)

    @cached_property
    def _config(self) -> Any:
        return self._load("AutoConfig")

    @cached_property
    def _tokenizer(self) -> Any:
        return self._load("AutoTokenizer")

    def _load(self, kind: str) -> Any:
        import transformers

        if _fetch(self._source, "config.json") is None:
            raise self._unavailable(expected="config.json")
        try:
            transformers.utils.logging.disable_progress_bar()
            return getattr(transformers, kind).from_pretrained(self._source)
        except Exception as error:  # whatever a third-party loader raises on a bad file
            raise TextEncoderError(
                f"transformers cannot load {self.id}",
                found=str(error).strip().splitlines()[0] if str(error) else repr(error),
                where=self._source,
            ) from error

    def _unavailable(self, *, expected: str) -> TextEncoderError:
        if Path(self._source).is_dir():
            return TextEncoderError(
                "the folder holds no model", where=self._source, expected=expected
            )
        return WeightsUnavailableError(
            f"{self.id} is not on this machine and cannot be fetched",
            hint="Check the name, connect and try again, or give a local folder: "
            "transformers:FOLDER.",
        )
