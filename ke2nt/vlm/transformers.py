"""Models of transformers: CLIP, SigLIP, sentence encoders."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn

from ke2nt.data.images import decode
from ke2nt.data.sample import ImageSource
from ke2nt.errors import MissingExtraError, TextEncoderError
from ke2nt.runtime.digest import digest_json
from ke2nt.runtime.file_digests import FileDigests
from ke2nt.runtime.formatting import first_line
from ke2nt.runtime.hub_names import looks_like_hub_id, suggest_path
from ke2nt.vlm.activation import Activation, describe_activation, evidence_of_name
from ke2nt.vlm.base import (
    DEFAULT_LOGIT_SCALE,
    EncodedText,
    Fingerprint,
    VisionLanguageModel,
    WeightsUnavailableError,
    check_token_ids,
    count_hub_pieces,
    find_unknown_texts,
    read_logit_parameters,
    refuse_broken_weights,
    refuse_truncation,
)
from ke2nt.vlm.hub_files import fetch, needs_sentencepiece, tokenizer_files
from ke2nt.vlm.image_preprocessing import ImagePreprocessing
from ke2nt.vlm.image_processor import check_processor, preprocessing_of, processor_facts
from ke2nt.vlm.image_tower import ImageTower, check_patches
from ke2nt.vlm.pooling import SentencePooling
from ke2nt.vlm.prompt_tower import PromptTower, Tokens, first_table
from ke2nt.vlm.transformers_tower import TransformersTower, tower_config
from ke2nt.vlm.word_pieces import find_unknown_words

__all__ = ["TransformersModel"]

_TEXT_BATCH = 64
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_INDEX = "model.safetensors.index.json"
_PARTS = {
    "AutoConfig": "configuration",
    "AutoTokenizer": "tokenizer",
    "AutoImageProcessor": "image processor",
    "AutoModel": "weights",
}

# model types with a text and an image tower
_DUAL = ("clip", "siglip", "siglip2")
_SIGLIP = ("siglip", "siglip2")

# SigLIP 2 of one resolution has the type "siglip"; "siglip2" is NaFlex, of any resolution
_NAFLEX = "siglip2"

# Models in use, by digest: the text and the image side of one evaluation share theirs.
_IN_USE: WeakValueDictionary[str, Any] = WeakValueDictionary()


class TransformersModel(VisionLanguageModel):
    """A model of transformers with its tokenizer, context length, pooling and image processor.

    CLIP and SigLIP models have both sides. A sentence encoder's folder (with
    1_Pooling/config.json) has the text side alone: its image methods raise TextEncoderError.

    Args:
        source: A local folder or a hub id.
        digests: Remembers digests of large files.
        id: Name in keys and messages; None for "transformers:SOURCE".

    Raises:
        TextEncoderError: No such folder, or not a possible hub id.
    """

    def __init__(self, source: str, digests: FileDigests, *, id: str | None = None) -> None:
        # a folder wins over a hub id of the same name
        folder = Path(source).expanduser()
        if folder.is_dir():
            self._source = str(folder.resolve())
            label = Path(self._source).name
        elif looks_like_hub_id(source):
            self._source = label = source
        else:
            raise TextEncoderError(
                f"no folder {source!r}",
                expected="a folder, or a hub id such as ORG/NAME",
                hint=suggest_path(source),
            )

        self.id = id or f"transformers:{label}"
        self.text_encoder = f"transformers:{source}"
        self._digests = digests
        self._loaded: Any = None

    # ---- text

    def fingerprint(self) -> Fingerprint:
        """Return digests of weights and tokenizer; files of a hub id are fetched if absent.

        Raises:
            WeightsUnavailableError: They are not on this machine and cannot be fetched.
        """
        # a model that is not here at all says so first
        weights = self.weights()
        tokenizer = self._digests.of_all(tokenizer_files(self._source, encoder=self.id))
        return Fingerprint(weights, digest_json(tokenizer))

    def weights(self) -> str:
        """Return the digest of the weights and their configuration, without a tokenizer.

        Raises:
            WeightsUnavailableError: They are not on this machine and cannot be fetched.
        """
        config = fetch(self._source, "config.json")
        weights = self._weight_files()
        if not weights or config is None:
            raise self._unavailable(expected=f"config.json and {' or '.join(_WEIGHT_FILES)}")

        # None for CLIP and SigLIP, whose features are pooled by the model itself
        pooling = self._pooling.facts() if self._pooling else None
        return digest_json({"files": self._digests.of_all([config, *weights]), "pooling": pooling})

    def check_lengths(self, prompts: Sequence[str]) -> None:
        """Raise PromptError that names every prompt longer than the context length."""
        counts = [self._count_tokens(text) for text in prompts]
        refuse_truncation(prompts, counts, self._context_length, encoder=self.id)

    def unknown_texts(self, prompts: Sequence[str]) -> list[str]:
        """Prompts with words or signs that the tokenizer does not know."""
        lower = str.lower if self._config.model_type in _SIGLIP else str
        return find_unknown_texts(self._tokenizer, prompts, clean=lower)

    def unknown_words(self, prompts: Sequence[str]) -> list[str]:
        """Words that the tokenizer only spells out."""
        lower = str.lower if self._config.model_type in _SIGLIP else str
        return find_unknown_words(
            lambda word: count_hub_pieces(self._tokenizer, lower(word)), prompts
        )

    def encode_text(self, prompts: Sequence[str]) -> EncodedText:
        """Embed prompts as the model's `get_text_features` does: (N, D) float32."""
        model = self._load_model()

        rows = []
        with torch.no_grad():
            for start in range(0, len(prompts), _TEXT_BATCH):
                rows.append(self._embed_texts(model, list(prompts[start : start + _TEXT_BATCH])))

        scale, bias = read_logit_parameters(model)
        return EncodedText(torch.cat(rows).cpu(), scale, bias, *self._describe_activation())

    def prompt_learning_tower(self) -> PromptTower:
        """Return the text tower as a function of token embeddings, with the model's weights."""
        model = self._load_model()
        return PromptTower(
            self.id,
            _TextTower(model, self._encode_tokens),
            first_table(self._token_layers(model)),
            tokenize=lambda texts: dict(self._tokenize(texts)),
            count=self._count_tokens,
            limit=self._context_length,
            token_text=lambda token: self._tokenizer.decode([token]),
        )

    def _describe_activation(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Facts and notes about CLIP's activation, whose configuration may be a wrong one."""
        if self._config.model_type != "clip":
            return {}, ()
        act = str(self._config.text_config.hidden_act)
        used: Activation = "quick_gelu" if act == "quick_gelu" else "gelu"
        evidence = evidence_of_name(self._source)
        note = evidence and describe_activation(self.id, used, used, evidence, None)
        return {"activation": act}, (note,) if note else ()

    # ---- images

    @property
    def preprocessing(self) -> ImagePreprocessing:
        """The image processor's settings as data."""
        return preprocessing_of(self._processor, self._image_side)

    def preprocessing_facts(self) -> dict[str, Any]:
        """Return the image processor's settings and its backend."""
        return processor_facts(self._resizer)

    def preprocess(self, source: ImageSource) -> np.ndarray:
        """Decode to RGB; the library resizes and crops with Pillow, as models were trained."""
        batch = self._resizer(
            decode(source),
            do_rescale=False,
            do_normalize=False,
            input_data_format="channels_last",
            return_tensors="np",
        )
        return np.ascontiguousarray(batch["pixel_values"][0])

    def load(self, device: torch.device) -> None:
        """Load the model and move it to a device."""
        self._check_has_images()
        self._loaded = self._load_model().to(device)  # held, so that the text side can share it

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Embed uint8 pixels (B, 3, H, W) as the model's `get_image_features` does: (B, D)."""
        return TransformersTower(self._loaded)(self.normalize(pixels))

    def normalize(self, pixels: Tensor) -> Tensor:
        """Rescale and normalize uint8 pixels (B, 3, H, W) with the library's processor."""
        batch = self._processor(
            pixels,
            do_resize=False,
            do_center_crop=False,
            input_data_format="channels_first",
            return_tensors="pt",
        )
        return batch["pixel_values"].to(pixels.device)

    def image_tower(self) -> ImageTower:
        """Return a copy of the image tower with its projection."""
        self._check_has_images()
        return copy.deepcopy(TransformersTower(self._load_model()))

    def check_image_size(self, size: int) -> None:
        """Check that the size is a whole number of patches."""
        self._check_has_images()
        check_patches(size, int(self._config.vision_config.patch_size), where=self.id)

    def tower_config(self) -> dict[str, Any]:
        """Return the image side of the model's configuration."""
        self._check_has_images()
        return tower_config(self._config)

    @property
    def dim(self) -> int:
        """Width D of the embedding space."""
        config = self._config
        if config.model_type == "clip":
            return int(config.projection_dim)
        if config.model_type in _DUAL:
            return int(config.vision_config.hidden_size)
        return int(config.hidden_size)

    @property
    def logit_scale(self) -> float:
        """exp of the model's parameter; the default scale for models without one."""
        scale, _ = read_logit_parameters(self._load_model())
        return DEFAULT_LOGIT_SCALE if scale is None else scale

    @property
    def logit_bias(self) -> float | None:
        """The offset of SigLIP's logits, or None."""
        return read_logit_parameters(self._load_model())[1]

    # ---- library objects

    @cached_property
    def _config(self) -> Any:
        return self._load_part("AutoConfig")

    @cached_property
    def _tokenizer(self) -> Any:
        return self._load_part("AutoTokenizer")

    @cached_property
    def _processor(self) -> Any:
        self._check_has_images()
        processor = self._load_part("AutoImageProcessor")
        check_processor(processor, self._image_side, where=self.id)
        return processor

    @cached_property
    def _resizer(self) -> Any:
        """The image processor on Pillow, for images before they are tensors."""
        self._check_has_images()
        processor = self._load_part("AutoImageProcessor", use_fast=False)
        check_processor(processor, self._image_side, where=self.id)
        return processor

    @cached_property
    def _pooling(self) -> SentencePooling | None:
        """Pooling of a sentence encoder; None for CLIP and SigLIP."""
        if self._config.model_type in _DUAL:
            return None
        if fetch(self._source, SentencePooling.FILE) is None:
            raise TextEncoderError(
                f"{self.id} is not a supported text encoder",
                expected=f"a model of type {', '.join(_DUAL)}, or {SentencePooling.FILE}",
                found=f"type {self._config.model_type!r}",
            )
        return SentencePooling.read(lambda name: fetch(self._source, name), where=self.id)

    @cached_property
    def _context_length(self) -> int:
        # the tightest of all limits that the files name
        config = self._config if self._pooling else self._config.text_config
        limits = [config.max_position_embeddings, self._tokenizer.model_max_length]
        if self._pooling and self._pooling.max_tokens:
            limits.append(self._pooling.max_tokens)
        return int(min(limits))

    @property
    def _image_side(self) -> Any:
        return getattr(self._config.vision_config, "image_size", None)

    def _check_has_images(self) -> None:
        if self._config.model_type not in _DUAL:
            raise TextEncoderError(
                f"{self.id} has no image tower",
                expected=f"a model of type {', '.join(_DUAL)}",
                found=f"type {self._config.model_type!r}",
            )
        if self._config.model_type == _NAFLEX:
            raise TextEncoderError(
                f"{self.id} has a NaFlex image tower, which ke2nt does not support",
                expected="a tower of one resolution",
                found="images of any resolution, cut into a varying number of patches",
                hint="Name a SigLIP 2 of one resolution, such as "
                "transformers:google/siglip2-base-patch16-224. The text side of this one works.",
            )

    def _embed_texts(self, model: Any, texts: list[str]) -> Tensor:
        tokens = self._tokenize(texts).to(model.device)
        check_token_ids(tokens["input_ids"], self._token_layers(model), encoder=self.id)
        return self._encode_tokens(model, tokens)

    def _token_layers(self, model: Any) -> nn.Module:
        """The layers that hold the table of tokens."""
        layers: nn.Module = (
            model.get_input_embeddings() if self._pooling else model.text_model.embeddings
        )
        return layers

    def _count_tokens(self, text: str) -> int:
        """Tokens of a text, special tokens included, before any truncation."""
        lower = str.lower if self._config.model_type in _SIGLIP else str
        return len(self._tokenizer(lower(text), verbose=False)["input_ids"])

    def _encode_tokens(self, model: Any, tokens: Tokens) -> Tensor:
        if self._pooling:
            return self._pooling(model(**tokens)[0], tokens["attention_mask"])
        if self._config.model_type == "clip":
            features = model.get_text_features(**tokens)
        else:
            features = model.get_text_features(input_ids=tokens["input_ids"])

        # a tensor up to transformers 4, an output object from 5 on
        return features if isinstance(features, Tensor) else features.pooler_output

    def _tokenize(self, texts: list[str]) -> Any:
        """Token ids as the model was trained on them."""
        if self._pooling or self._config.model_type == "clip":
            return self._tokenizer(texts, padding=True, return_tensors="pt")

        # SigLIP was trained on lower-case texts of full length, whose padding is attended to; the
        # tokenizer files of some SigLIP 2 models leave the case as it is
        return self._tokenizer(
            [text.lower() for text in texts],
            padding="max_length",
            max_length=self._context_length,
            return_tensors="pt",
        )

    # ---- files

    def _load_model(self) -> Any:
        """Return the whole model in float32 and evaluation mode; shared while somebody holds it.

        Raises:
            WeightsUnavailableError: The weights are not on this machine and cannot be fetched.
            TextEncoderError: They cannot be loaded.
        """
        if self._loaded is not None:
            return self._loaded

        key = self.weights()
        model = _IN_USE.get(key)
        if model is None:
            # what a library draws while it loads must not change what is drawn next
            with torch.random.fork_rng(devices=[]):
                model = self._load_part("AutoModel").float().eval()
            refuse_broken_weights(model, encoder=self.id)
            _IN_USE[key] = model
        return model

    def _load_part(self, auto_class: str, **options: Any) -> Any:
        """Load the configuration, tokenizer, image processor or model."""
        import transformers

        if fetch(self._source, "config.json") is None:
            raise self._unavailable(expected="config.json")
        if auto_class == "AutoTokenizer":
            tokenizer_files(self._source, encoder=self.id)
            if needs_sentencepiece(self._source):
                raise MissingExtraError(
                    "sentencepiece", extra="siglip", purpose=f"the tokenizer of {self.id}"
                )
        try:
            transformers.utils.logging.disable_progress_bar()
            transformers.utils.logging.set_verbosity_error()
            return getattr(transformers, auto_class).from_pretrained(self._source, **options)
        except Exception as error:  # whatever a third-party loader raises on a bad file
            # the text of a KeyError is the key alone
            raise TextEncoderError(
                f"transformers cannot load the {_PARTS[auto_class]} of {self.id}",
                found=repr(error) if isinstance(error, KeyError) else first_line(error),
                where=self._source,
                hint="Download or copy its files again.",
            ) from error

    def _weight_files(self) -> list[Path]:
        """Files of the weights, whole or in shards; empty if one is absent."""
        for name in _WEIGHT_FILES:
            path = fetch(self._source, name)
            if path is not None:
                return [path]

        # large models are saved in shards with an index
        index = fetch(self._source, _INDEX)
        if index is None:
            return []
        try:
            names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TextEncoderError("not an index of weights", where=index, found=error) from error
        shards = [fetch(self._source, name) for name in names]
        return [path for path in shards if path] if all(shards) else []

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


class _TextTower(nn.Module):
    """The text tower as a module: tokens → (N, D)."""

    def __init__(self, model: nn.Module, encode: Callable[[Any, Tokens], Tensor]) -> None:
        super().__init__()
        self.model = model
        self._encode = encode

    def forward(self, tokens: Tokens) -> Tensor:
        return self._encode(self.model, tokens)
