"""Models of open_clip; the only file that imports it."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch

from ke2nt.errors import TextEncoderError
from ke2nt.runtime.digest import digest_json
from ke2nt.runtime.file_digests import FileDigests
from ke2nt.runtime.suggest import did_you_mean
from ke2nt.vlm.base import (
    EncodedText,
    Fingerprint,
    WeightsUnavailableError,
    refuse_truncation,
)
from ke2nt.vlm.transformers import offline, tokenizer_files

__all__ = ["OpenClipEncoder"]

# Models in use, by digest: the image and the text side of one evaluation share theirs.
_IN_USE: WeakValueDictionary[str, Any] = WeakValueDictionary()

_BATCH = 64
_CONFIG = "open_clip_config.json"
_BPE = "bpe_simple_vocab_16e6.txt.gz"
# open_clip's own order of preference for the weights in a local folder.
_CHECKPOINTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a model comes from: `checkpoint` is a file, or None for the tag of `tag`."""

    label: str
    model: str
    config: dict[str, Any]
    checkpoint: Path | None
    tag: dict[str, Any]
    folder: Path | None = None


class OpenClipEncoder:
    """A text tower of open_clip with its own tokenizer, context length, pooling and logit scale.

    A tag that was trained with QuickGELU gets it, whatever the architecture's default is.

    Args:
        source: "ARCH/TAG", "ARCH/path/of/a/checkpoint", or a folder with open_clip_config.json
            and its weights.
        digests: Remembers digests of large files.

    Raises:
        TextEncoderError: No such architecture, tag, file or folder.
    """

    def __init__(self, source: str, digests: FileDigests) -> None:
        self._source = _find(source)
        self._digests = digests
        self.id = f"open_clip:{self._source.label}"

    def fingerprint(self) -> Fingerprint:
        """Digests of weights and tokenizer; the weights of a tag are fetched when absent.

        Raises:
            WeightsUnavailableError: They are not here and cannot be fetched.
        """
        text = self._source.config["text_cfg"]
        if text.get("hf_tokenizer_name"):
            files = tokenizer_files(str(self._source.folder or text["hf_tokenizer_name"]))
        else:
            spec = importlib.util.find_spec("open_clip")
            assert spec is not None
            assert spec.submodule_search_locations is not None
            files = [Path(spec.submodule_search_locations[0]) / _BPE]
        weights = {
            "file": self._digests.of(self._checkpoint()),
            "config": self._source.config,
            "quick_gelu": self._quick_gelu,
        }
        tokenizer = {"files": self._digests.of_all(files), "text": text}
        return Fingerprint(digest_json(weights), digest_json(tokenizer))

    def check_lengths(self, prompts: Sequence[str]) -> None:
        """Raise PromptError that names every prompt longer than the context length."""
        tokenizer = self._tokenizer
        counts = [_count(tokenizer, text) for text in prompts]
        refuse_truncation(prompts, counts, tokenizer.context_length, encoder=self.id)

    def encode(self, prompts: Sequence[str]) -> EncodedText:
        """Embed prompts; `embeddings` equals the model's own `encode_text`, (N, D) float32."""
        model, tokenizer = self.load(), self._tokenizer
        device = model.logit_scale.device
        with torch.no_grad():
            rows = [
                model.encode_text(tokenizer(list(prompts[start : start + _BATCH])).to(device))
                for start in range(0, len(prompts), _BATCH)
            ]
            bias = getattr(model, "logit_bias", None)
            return EncodedText(
                torch.cat(rows).float().cpu(),
                logit_scale=float(model.logit_scale.exp()),
                logit_bias=None if bias is None else float(bias),
            )

    def load(self) -> Any:
        """The whole model, both towers, in evaluation mode; shared while somebody holds it.

        Raises:
            WeightsUnavailableError: The weights are not here and cannot be fetched.
            TextEncoderError: They do not fit the architecture.
        """
        import open_clip

        path = self._checkpoint()
        key = digest_json([self._source.model, self.fingerprint().weights])
        if (known := _IN_USE.get(key)) is not None:
            return known
        try:
            model = open_clip.create_model(
                self._source.model,
                pretrained=None if self._source.folder else str(path),
                force_quick_gelu=self._quick_gelu,
            ).eval()
        except Exception as error:  # whatever a third-party loader raises on a bad file
            raise TextEncoderError(
                "open_clip cannot load the model",
                where=path,
                found=str(error).strip().splitlines()[0] if str(error) else repr(error),
                hint=f"The weights must fit the architecture {self._source.model}; "
                "'-quickgelu' in its name matters. TorchScript archives are not read.",
            ) from error
        _IN_USE[key] = model
        return model

    def image_settings(self) -> tuple[Any, dict[str, Any]]:
        """What the image tower reads, from the configuration alone.

        Returns:
            Size of the tower's input in pixels, a number or (height, width), and the preprocessing
            under open_clip's names ("size", "mean", "std", "interpolation", "resize_mode",
            "fill_color"), as far as it is given. For a built-in architecture that is its tag's,
            over open_clip's defaults; a folder has its own.
        """
        from open_clip.transform import PreprocessCfg, merge_preprocess_dict

        size = self._source.config.get("vision_cfg", {}).get("image_size", 224)
        if self._source.folder is None:
            base = {**asdict(PreprocessCfg()), "size": size}
            return size, merge_preprocess_dict(base, self._source.tag)
        facts = json.loads((self._source.folder / _CONFIG).read_bytes())
        return size, dict(facts.get("preprocess_cfg") or {})

    @property
    def _quick_gelu(self) -> bool:
        return bool(self._source.config.get("quick_gelu") or self._source.tag.get("quick_gelu"))

    @cached_property
    def _tokenizer(self) -> Any:
        import open_clip

        try:
            return open_clip.get_tokenizer(self._source.model)
        except Exception as error:  # hub, file and format errors of the tokenizer libraries
            raise WeightsUnavailableError(
                f"the tokenizer of {self.id} cannot be loaded", found=error
            ) from error

    def _checkpoint(self) -> Path:
        if self._source.checkpoint is not None:
            return self._source.checkpoint
        import open_clip

        url = str(self._source.tag.get("url") or "")
        try:
            if offline() and not self._source.tag.get("hf_hub"):
                kept = Path("~/.cache/clip", os.path.basename(url)).expanduser()
                if not kept.is_file():
                    raise FileNotFoundError(f"{kept} is absent and HF_HUB_OFFLINE is set")
            return Path(open_clip.pretrained.download_pretrained(self._source.tag))
        except Exception as error:  # hub, network and file errors of several libraries
            raise WeightsUnavailableError(
                f"the weights of {self.id} are not on this machine and cannot be fetched",
                hint="Connect and try again, or name a checkpoint: "
                f"open_clip:{self._source.model}/PATH.",
            ) from error


def _find(source: str) -> _Source:
    folder = Path(source).expanduser()
    if folder.is_dir():
        return _find_in(folder.resolve())
    import open_clip

    arch, _, rest = source.partition("/")
    if arch not in open_clip.list_models():
        raise TextEncoderError(
            f"open_clip has no architecture {arch!r}",
            expected="open_clip:ARCH/TAG, open_clip:ARCH/CHECKPOINT or open_clip:FOLDER",
            found=f"open_clip:{source}",
            hint=did_you_mean(arch, open_clip.list_models()),
        )
    config = open_clip.get_model_config(arch)
    tag = open_clip.pretrained.get_pretrained_cfg(arch, rest)
    if tag:
        return _Source(source, arch, config, None, tag)
    path = Path(rest).expanduser()
    if rest and path.is_file():
        return _Source(f"{arch}/{path.name}", arch, config, path, {})
    tags = open_clip.list_pretrained_tags_by_model(arch)
    raise TextEncoderError(
        f"no tag or checkpoint {rest!r} for open_clip's {arch}",
        expected=f"a file, or one of {', '.join(tags)}" if tags else "a file",
        hint=did_you_mean(rest, tags),
    )


def _find_in(folder: Path) -> _Source:
    try:
        config = json.loads((folder / _CONFIG).read_bytes())["model_cfg"]
        config["text_cfg"].get("hf_tokenizer_name")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TextEncoderError(
            "the folder holds no open_clip model",
            where=folder,
            expected=f"{_CONFIG} with model_cfg and text_cfg",
            found="no such file" if isinstance(error, FileNotFoundError) else repr(error),
        ) from error
    for name in _CHECKPOINTS:
        if (folder / name).is_file():
            model = f"local-dir:{folder}"
            return _Source(folder.name, model, config, folder / name, {}, folder=folder)
    raise TextEncoderError(
        "the folder holds no weights", where=folder, expected=f"one of {', '.join(_CHECKPOINTS)}"
    )


def _count(tokenizer: Any, text: str) -> int:
    """Tokens of a text, special tokens included, before any truncation."""
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is None:
        return len(tokenizer.encode(text)) + 2
    clean = getattr(tokenizer, "clean_fn", str)
    if getattr(tokenizer, "tokenizer_mode", ""):  # start, end and class tokens are added by hand
        return len(inner(clean(text), add_special_tokens=False)["input_ids"]) + 3
    return len(inner(clean(text), verbose=False)["input_ids"])
