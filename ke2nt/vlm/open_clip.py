"""Models of open_clip, as text encoders and for zero-shot recognition."""

from __future__ import annotations

import copy
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property, lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn

from ke2nt.data.images import decode
from ke2nt.data.sample import ImageSource
from ke2nt.errors import MissingExtraError, ModelError, TextEncoderError
from ke2nt.runtime.digest import digest_json
from ke2nt.runtime.file_digests import FileDigests
from ke2nt.runtime.hub_names import describe_hub_error, looks_like_path, offline, suggest_path
from ke2nt.runtime.suggest import did_you_mean
from ke2nt.vlm.activation import Activation, Evidence, describe_activation, find_evidence
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
from ke2nt.vlm.hub_files import needs_sentencepiece, tokenizer_files
from ke2nt.vlm.image_preprocessing import ImagePreprocessing
from ke2nt.vlm.image_tower import ImageTower
from ke2nt.vlm.open_clip_checkpoint import explain_misfit
from ke2nt.vlm.open_clip_loading import compare_activations, load_open_clip
from ke2nt.vlm.open_clip_source import OpenClipSource, read_folder, refuse_naflex
from ke2nt.vlm.open_clip_text import OpenClipText, padding_shortening, token_text
from ke2nt.vlm.open_clip_tower import OpenClipTower, check_open_clip_size
from ke2nt.vlm.prompt_tower import PromptTower, first_table
from ke2nt.vlm.word_pieces import find_unknown_words

__all__ = ["OpenClipModel"]

_TEXT_BATCH = 64
_PROBE = "a photo of a happy face"
_VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"

# Models in use, by digest: the text and the image side of one evaluation share theirs.
_IN_USE: WeakValueDictionary[str, Any] = WeakValueDictionary()

# Model of a local checkpoint → cosine of a probe text's embeddings under GELU and QuickGELU, None
# if it has neither.
_ACTIVATION_COSINES: WeakKeyDictionary[nn.Module, float | None] = WeakKeyDictionary()
_COMPARING = Lock()


class OpenClipModel(VisionLanguageModel):
    """A model of open_clip with its tokenizer, context length, pooling and preprocessing.

    A tag that was trained with QuickGELU gets it, whatever the architecture's default is, and so
    does a checkpoint whose own files say so. Any doubt is a note of `encode_text`.

    Args:
        source: "ARCH/TAG", "ARCH/path/of/a/checkpoint", or a folder with open_clip_config.json
            and its weights.
        digests: Remembers digests of large files.

    Raises:
        TextEncoderError: No such architecture, tag, file or folder.
    """

    def __init__(self, source: str, digests: FileDigests) -> None:
        self._source = _find_source(source)
        self._digests = digests
        self.id = f"open_clip:{self._source.label}"
        self.text_encoder = f"open_clip:{source}"
        self._loaded: Any = None

    # ---- text

    def fingerprint(self) -> Fingerprint:
        """Return digests of weights and tokenizer; the weights of a tag are fetched if absent.

        Raises:
            WeightsUnavailableError: They are not on this machine and cannot be fetched.
        """
        # weights that are not here at all are named first
        weights = self.weights()
        tokenizer = {
            "files": self._digests.of_all(self._tokenizer_files()),
            "text": self._source.config["text_cfg"],
        }
        return Fingerprint(weights, digest_json(tokenizer))

    def weights(self) -> str:
        """Return the digest of the weights and their configuration, without a tokenizer.

        Raises:
            WeightsUnavailableError: They are not on this machine and cannot be fetched.
        """
        # the same file under another configuration is another encoder
        facts = {
            "file": self._digests.of(self._checkpoint()),
            "config": self._source.config,
            "quick_gelu": self._activation == "quick_gelu",
        }
        return digest_json(facts)

    def check_lengths(self, prompts: Sequence[str]) -> None:
        """Raise PromptError that names every prompt longer than the context length."""
        counts = [_count_tokens(self._tokenizer, text) for text in prompts]
        refuse_truncation(prompts, counts, self._tokenizer.context_length, encoder=self.id)

    def unknown_texts(self, prompts: Sequence[str]) -> list[str]:
        """Prompts with words or signs that the tokenizer does not know; CLIP's knows all."""
        hub_tokenizer = getattr(self._tokenizer, "tokenizer", None)
        if hub_tokenizer is None:
            return []
        clean = getattr(self._tokenizer, "clean_fn", str)
        return find_unknown_texts(hub_tokenizer, prompts, clean=clean)

    def unknown_words(self, prompts: Sequence[str]) -> list[str]:
        """Words that the tokenizer only spells out."""
        hub_tokenizer = getattr(self._tokenizer, "tokenizer", None)
        clean = getattr(self._tokenizer, "clean_fn", str)
        if hub_tokenizer is None:
            return find_unknown_words(lambda word: len(self._tokenizer.encode(word)), prompts)
        return find_unknown_words(
            lambda word: count_hub_pieces(hub_tokenizer, clean(word)), prompts
        )

    def encode_text(self, prompts: Sequence[str]) -> EncodedText:
        """Embed prompts as the model's `encode_text` does: (N, D) float32."""
        model = self._load_for_text()
        device = model.logit_scale.device

        rows = []
        with torch.no_grad():
            for start in range(0, len(prompts), _TEXT_BATCH):
                tokens = self._tokenizer(list(prompts[start : start + _TEXT_BATCH]))
                check_token_ids(tokens, _text_tower(model), encoder=self.id)
                rows.append(model.encode_text(tokens.to(device)))

        scale, bias = read_logit_parameters(model)
        facts, notes = self._describe_activation(_ACTIVATION_COSINES.get(model))
        return EncodedText(torch.cat(rows).float().cpu(), scale, bias, facts, notes)

    def prompt_learning_tower(self) -> PromptTower:
        """Return the text tower as a function of token embeddings, with the model's weights."""
        model = self._load_for_text()
        tower = OpenClipText(model)
        return PromptTower(
            self.id,
            tower,
            first_table(_text_tower(model)),
            tokenize=lambda texts: {"input_ids": self._tokenizer(texts)},
            count=partial(_count_tokens, self._tokenizer),
            limit=self._tokenizer.context_length,
            token_text=partial(token_text, self._tokenizer),
            shorten=padding_shortening(tower),
        )

    # ---- images

    @cached_property
    def preprocessing(self) -> ImagePreprocessing:
        """open_clip's settings, from the configuration alone.

        For a built-in architecture they are its tag's, over open_clip's defaults; a folder has
        its own.
        """
        size = self._source.config.get("vision_cfg", {}).get("image_size", 224)
        return ImagePreprocessing.from_open_clip(size, self._settings, where=self.id)

    def preprocessing_facts(self) -> dict[str, Any]:
        """Return open_clip's settings."""
        return self.preprocessing.to_dict()

    def preprocess(self, source: ImageSource) -> np.ndarray:
        """Decode to RGB; open_clip resizes and crops."""
        from torchvision.transforms.functional import to_pil_image

        resized = self._resize(to_pil_image(decode(source)))
        return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))

    def load(self, device: torch.device) -> None:
        """Load the model, and check the preprocessing that open_clip gives it.

        Raises:
            ModelError: The model's preprocessing is not the one of its configuration.
        """
        model = self._load_model()

        # cache keys follow the configuration, so the model must agree with it
        settings = dict(model.visual.preprocess_cfg)
        loaded = ImagePreprocessing.from_open_clip(model.visual.image_size, settings, where=self.id)
        if loaded != self.preprocessing:
            raise ModelError(
                "the loaded model has another preprocessing than its configuration",
                expected=self.preprocessing.to_dict(),
                found=loaded.to_dict(),
                where=self.id,
            )
        self._loaded = model.to(device)  # held, so that the text side can share it

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Embed uint8 pixels (B, 3, H, W) as the model's `encode_image` does: (B, D)."""
        return OpenClipTower(self._loaded.visual)(self.normalize(pixels))

    def normalize(self, pixels: Tensor) -> Tensor:
        """Scale uint8 pixels (B, 3, H, W) to [0, 1] and normalize them as open_clip does."""
        return self._normalization(pixels.float().div_(255))

    def image_tower(self) -> ImageTower:
        """Return a copy of the image tower with its projection."""
        return OpenClipTower(copy.deepcopy(self._load_model().visual))

    def check_image_size(self, size: int) -> None:
        """Check that open_clip can interpolate the position embeddings, if there are any."""
        check_open_clip_size(self.tower_config(), size, where=self.id)

    def tower_config(self) -> dict[str, Any]:
        """Return the image side of open_clip's `model_cfg`, and the activation."""
        return {
            "embed_dim": self.dim,
            "vision_cfg": dict(self._source.config["vision_cfg"]),
            "quick_gelu": self._activation == "quick_gelu",
        }

    @property
    def dim(self) -> int:
        """Width D of the embedding space."""
        return int(self._source.config["embed_dim"])

    @property
    def logit_scale(self) -> float:
        """exp of the model's parameter; the default scale for models without one."""
        scale, _ = read_logit_parameters(self._load_model())
        return DEFAULT_LOGIT_SCALE if scale is None else scale

    @property
    def logit_bias(self) -> float | None:
        """The offset of SigLIP's logits, or None."""
        return read_logit_parameters(self._load_model())[1]

    # ---- GELU or QuickGELU

    @cached_property
    def _evidence(self) -> Evidence | None:
        """What the files of a local checkpoint say; None for a tag, whose activation is known."""
        if self._source.checkpoint is None:
            return None
        import open_clip

        arch = self._source.model
        tags: dict[str, Activation] = {
            tag: "quick_gelu" if facts.get("quick_gelu") else "gelu"
            for tag, facts in (
                (tag, open_clip.pretrained.get_pretrained_cfg(arch, tag))
                for tag in open_clip.list_pretrained_tags_by_model(arch)
            )
        }
        return find_evidence(self._source.checkpoint, tags)

    @property
    def _activation(self) -> Activation:
        """The activation that the model computes with."""
        evidence = self._evidence
        if evidence is not None and evidence.certain and evidence.activation == "quick_gelu":
            return "quick_gelu"
        return "quick_gelu" if self._source.quick_gelu else "gelu"

    def _describe_activation(self, cosine: float | None) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Facts and notes about the activation, none if the model has neither of the two."""
        if self._source.checkpoint is None:
            return {"activation": self._activation}, ()
        if cosine is None:
            return {}, ()

        named: Activation = "quick_gelu" if self._source.quick_gelu else "gelu"
        evidence = self._evidence
        facts = {
            "activation": self._activation,
            "activation_evidence": evidence.reason if evidence else None,
        }
        note = describe_activation(self.id, self._activation, named, evidence, cosine)
        return facts, (note,) if note else ()

    # ---- library objects

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """Preprocessing under open_clip's names."""
        from open_clip.transform import PreprocessCfg, merge_preprocess_dict

        # open_clip's defaults hold for its own architectures, not for saved folders
        if self._source.folder is not None:
            return self._source.preprocess_cfg
        size = self._source.config.get("vision_cfg", {}).get("image_size", 224)
        return merge_preprocess_dict({**asdict(PreprocessCfg()), "size": size}, self._source.tag)

    @cached_property
    def _transform(self) -> list[Any]:
        """open_clip's steps from an image to the normalized input."""
        from open_clip.transform import PreprocessCfg, image_transform_v2

        settings = PreprocessCfg(**asdict(self.preprocessing))
        return image_transform_v2(settings, is_train=False).transforms

    @cached_property
    def _resize(self) -> Any:
        from torchvision.transforms import Compose

        # the last three steps convert to RGB, convert to a float tensor and normalize
        return Compose(self._transform[:-3])

    @property
    def _normalization(self) -> Any:
        return self._transform[-1]

    @cached_property
    def _tokenizer(self) -> Any:
        files, hub_name = self._tokenizer_files(), self._hub_tokenizer
        if hub_name and needs_sentencepiece(str(self._source.folder or hub_name)):
            raise MissingExtraError(
                "sentencepiece", extra="siglip", purpose=f"the tokenizer of {self.id}"
            )

        try:
            text_cfg = digest_json(self._source.config["text_cfg"])
            return _load_tokenizer(self._source.model, self._source.folder, text_cfg)
        except Exception as error:  # hub, file and format errors of the tokenizer libraries
            raise TextEncoderError(
                f"the tokenizer of {self.id} cannot be loaded",
                expected=f"the files of {hub_name or 'open_clip'}, as they were published",
                found=f"{explain_misfit(error)}, from {', '.join(path.name for path in files)}",
                where=files[0].parent,
                hint="Download or copy them again.",
            ) from error

    @property
    def _hub_tokenizer(self) -> str | None:
        """Hub id of the tokenizer; None for open_clip's built-in one."""
        return self._source.config["text_cfg"].get("hf_tokenizer_name")

    def _tokenizer_files(self) -> list[Path]:
        hub_name = self._hub_tokenizer
        if hub_name:
            folder = self._source.folder
            return tokenizer_files(str(folder or hub_name), encoder=self.id, origin=hub_name)

        # found without an import of the library, which takes seconds
        spec = importlib.util.find_spec("open_clip")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        return [Path(spec.submodule_search_locations[0]) / _VOCABULARY]

    def _load_model(self) -> Any:
        """Return the whole model in evaluation mode; shared while somebody holds it.

        Raises:
            WeightsUnavailableError: The weights are not on this machine and cannot be fetched.
            TextEncoderError: They do not fit the architecture.
        """
        if self._loaded is not None:
            return self._loaded

        key = digest_json([self._source.model, self.weights()])
        model = _IN_USE.get(key)
        if model is None:
            _IN_USE[key] = model = self._create_model()
        return model

    def _create_model(self) -> Any:
        model = load_open_clip(
            self._source.model,
            self._checkpoint(),
            quick_gelu=self._activation == "quick_gelu",
            preprocess_cfg=None if self._source.folder else self._settings,
        )
        refuse_broken_weights(model, encoder=self.id)
        return model

    def _load_for_text(self) -> Any:
        """Return the model once it is known what its activation changes; needs the tokenizer."""
        model = self._load_model()
        if self._source.checkpoint is None:
            return model

        # nobody may read text while the activations are exchanged
        with _COMPARING:
            if model not in _ACTIVATION_COSINES:
                tokens = self._tokenizer([_PROBE])
                check_token_ids(tokens, _text_tower(model), encoder=self.id)
                tokens = tokens.to(model.logit_scale.device)
                _ACTIVATION_COSINES[model] = compare_activations(model, tokens)
        return model

    def _checkpoint(self) -> Path:
        """The file of the weights; that of a tag is fetched if it is absent."""
        if self._source.checkpoint is not None:
            return self._source.checkpoint
        import open_clip

        tag = self._source.tag
        try:
            # open_clip downloads tags outside the hub itself, which knows nothing of HF_HUB_OFFLINE
            if offline() and not tag.get("hf_hub"):
                name = os.path.basename(str(tag.get("url") or ""))
                cached = Path("~/.cache/clip", name).expanduser()
                if not cached.is_file():
                    raise FileNotFoundError(f"{cached} is absent and HF_HUB_OFFLINE is set")
            return Path(open_clip.pretrained.download_pretrained(tag))
        except Exception as error:  # hub, network and file errors of several libraries
            raise WeightsUnavailableError(
                f"the weights of {self.id} are not on this machine and cannot be fetched",
                found=describe_hub_error(error),
                hint="Connect and try again, or name a checkpoint: "
                f"open_clip:{self._source.model}/PATH.",
            ) from error


def _text_tower(model: Any) -> nn.Module:
    """The text tower; of older models the whole, whose image side has no embedding table."""
    return getattr(model, "text", model)


def _find_source(source: str) -> OpenClipSource:
    """Find a folder, or an architecture with a tag or checkpoint."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return read_folder(folder.resolve())
    import open_clip

    # not a folder: an architecture of open_clip's list
    arch, _, rest = source.partition("/")
    if arch not in open_clip.list_models() and looks_like_path(source):
        raise TextEncoderError(
            f"no folder {source!r}",
            expected="a folder with open_clip_config.json",
            hint=suggest_path(source),
        )
    if arch not in open_clip.list_models():
        raise TextEncoderError(
            f"open_clip has no architecture {arch!r}",
            expected="open_clip:ARCH/TAG, open_clip:ARCH/CHECKPOINT or open_clip:FOLDER",
            found=f"open_clip:{source}",
            hint=did_you_mean(arch, open_clip.list_models()),
        )
    config = open_clip.get_model_config(arch)
    refuse_naflex(config, where=f"open_clip:{source}")

    # a known tag wins over a file of the same name
    tag = open_clip.pretrained.get_pretrained_cfg(arch, rest)
    if tag:
        return OpenClipSource(source, arch, config, None, tag)

    # the id holds the name of a checkpoint, not its folder
    path = Path(rest).expanduser()
    if rest and path.is_file():
        return OpenClipSource(f"{arch}/{path.name}", arch, config, path, {})

    tags = open_clip.list_pretrained_tags_by_model(arch)
    raise TextEncoderError(
        f"no tag or checkpoint {rest!r} for open_clip's {arch}",
        expected=f"a file, or one of {', '.join(tags)}" if tags else "a file",
        hint=did_you_mean(rest, tags) or (suggest_path(rest) if rest else None),
    )


@lru_cache(maxsize=4)
def _load_tokenizer(name: str, folder: Path | None, text_cfg: str) -> Any:
    """The tokenizer of a model; kept, as reading CLIP's vocabulary takes half a second."""
    import open_clip

    return open_clip.get_tokenizer(name)


def _count_tokens(tokenizer: Any, text: str) -> int:
    """Tokens of a text, special tokens included, before any truncation."""
    hub_tokenizer = getattr(tokenizer, "tokenizer", None)
    if hub_tokenizer is None:
        return len(tokenizer.encode(text)) + 2

    cleaned = getattr(tokenizer, "clean_fn", str)(text)
    if getattr(tokenizer, "tokenizer_mode", ""):
        # open_clip adds start, end and class tokens by hand
        return len(hub_tokenizer(cleaned, add_special_tokens=False)["input_ids"]) + 3
    return len(hub_tokenizer(cleaned, verbose=False)["input_ids"])
