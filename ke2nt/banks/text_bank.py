"""The text bank: the frozen class embeddings that images are compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ke2nt.banks.bank_checks import (
    check_classes,
    check_logit_scale,
    check_neutral_index,
    check_row_count,
    check_tensors,
)
from ke2nt.banks.bank_files import FACTS, TENSORS, read_bank, write_bank
from ke2nt.banks.build_bank import build_bank
from ke2nt.banks.ensemble import unit
from ke2nt.errors import LabelError, TextEncoderError
from ke2nt.runtime.suggest import did_you_mean
from ke2nt.vlm.catalog import DEFAULT_ENCODER

if TYPE_CHECKING:
    from ke2nt.prompts.prompt_set import PromptSet
    from ke2nt.vlm.base import TextEncoder

__all__ = ["TextBank"]


@dataclass(frozen=True, eq=False)
class TextBank:
    """Text embeddings of K classes and of the neutral anchor.

    Attributes:
        embeddings: (K, D) class embeddings of unit norm.
        raw: (K, D) class embeddings as the text tower returns them (mean over a class's prompts).
        neutral: (D,) embedding of the neutral anchor, unit norm.
        neutral_raw: (D,) embedding of the neutral anchor as the text tower returns it.
        classes: K unique names, in index order.
        neutral_index: Index of the neutral class, or None if no class is neutral.
        logit_scale: Positive factor on cosine similarities.
        provenance: What the bank was made from, plain JSON.

    Raises:
        LabelError: Class names are empty, repeated, or do not match the rows.
        TextEncoderError: Shapes, types, norms or the scale are wrong, or a number is not finite.

    Example:
        >>> bank = TextBank.build("paper")
        >>> bank.embeddings.shape
        torch.Size([8, 384])
    """

    embeddings: Tensor
    raw: Tensor
    neutral: Tensor
    neutral_raw: Tensor
    classes: tuple[str, ...]
    neutral_index: int | None
    logit_scale: float
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        check_classes(self.classes)
        check_neutral_index(self.neutral_index, len(self.classes))
        check_tensors(self._tensors(), self.classes)
        check_logit_scale(self.logit_scale)

    @classmethod
    def build(
        cls,
        prompts: PromptSet | str | Path,
        encoder: str | TextEncoder = DEFAULT_ENCODER,
        classes: Sequence[str] | None = None,
        cache_dir: str | Path | None = None,
    ) -> TextBank:
        """Embed a prompt set, or take it from the shipped banks or the cache.

        Args:
            prompts: A prompt set, the name of a shipped one, or a YAML file.
            encoder: "minilm", "open_clip:ARCH/TAG-or-checkpoint", "transformers:ID-or-folder",
                the dotted path of a text encoder class, or a `TextEncoder`.
            classes: Classes of the set in the requested order; None for all of them.
            cache_dir: Cache folder; None for `KE2NT_CACHE` or the platform's.

        Doubts about the encoder or its words are warnings (`Ke2ntWarning`), and are kept as
        "notes" of the provenance.

        Raises:
            PromptError: No such prompt set or class, a prompt would be truncated, or the encoder
                cannot tell two classes apart.
            TextEncoderError: The encoder is unknown or its files cannot be found or loaded.
            ConfigError: The dotted path of the encoder cannot be imported.
            MissingExtraError: minilm is needed for new words and not installed.
            CacheError: The cache folder cannot be used.
        """
        built = build_bank(cls, prompts, encoder, classes, cache_dir)
        return built.bank.select(built.classes)

    @classmethod
    def from_tensors(
        cls,
        raw: Tensor,
        *,
        classes: Sequence[str],
        neutral_index: int | None,
        logit_scale: float,
        neutral: Tensor | None = None,
    ) -> TextBank:
        """Create a bank from given embeddings.

        Args:
            raw: (K, D) class embeddings, any norm but 0. float64 stays float64, all else becomes
                float32.
            classes: K unique names.
            neutral_index: Index of the neutral class, or None if no class is neutral.
            logit_scale: Factor on cosine similarities; CLIP's is 100.
            neutral: (D,) embedding of the neutral anchor, any norm but 0; None for the row at
                `neutral_index`.

        Raises:
            LabelError: Names and rows do not match, or there is no neutral anchor.
            TextEncoderError: A number is not finite, a row is zero, or a shape is wrong.
        """
        # float64 is kept for numeric checks; half precision is too coarse for unit vectors
        names = tuple(classes)
        check_row_count(raw, names)
        raw = raw.detach().to(torch.float64 if raw.dtype == torch.float64 else torch.float32)

        # the anchor is the neutral class unless it is given
        if neutral is None:
            neutral = _neutral_row(raw, neutral_index)
        elif neutral.ndim != 1 or neutral.shape[0] != raw.shape[1]:
            raise TextEncoderError(
                "the neutral anchor has the wrong shape",
                expected=(raw.shape[1],),
                found=tuple(neutral.shape),
            )
        neutral = neutral.detach().to(raw).clone()

        # clones: the caller may change its tensors later
        return cls(
            embeddings=unit(raw),
            raw=raw.clone(),
            neutral=unit(neutral),
            neutral_raw=neutral,
            classes=names,
            neutral_index=neutral_index,
            logit_scale=float(logit_scale),
            provenance={"source": "tensors"},
        )

    @classmethod
    def load(cls, folder: str | Path) -> TextBank:
        """Read the bank that `save` wrote into a folder.

        Raises:
            CheckpointError: A file is missing, truncated, altered or not a text bank.
        """
        return read_bank(cls, Path(folder) / TENSORS, Path(folder) / FACTS)

    def save(self, folder: str | Path) -> None:
        """Write text_bank.safetensors (float32) and text_bank.json into a folder."""
        write_bank(self, Path(folder) / TENSORS, Path(folder) / FACTS)

    def select(self, classes: Sequence[str]) -> TextBank:
        """Return the bank of some of the classes, in the given order; the anchor stays.

        Raises:
            LabelError: A class is not in the bank, or is named twice.
        """
        names = tuple(classes)
        for name in names:
            if name not in self.classes:
                raise LabelError(
                    f"the text bank has no class {name!r}",
                    expected=f"one of {', '.join(self.classes)}",
                    hint=did_you_mean(name, self.classes),
                )

        # the provenance keeps the prompts of the selected classes
        provenance = dict(self.provenance)
        prompts = provenance.get("prompts")
        if isinstance(prompts, dict):
            provenance["prompts"] = {name: prompts[name] for name in names if name in prompts}

        rows = [self.classes.index(name) for name in names]
        neutral = None if self.neutral_index is None else self.classes[self.neutral_index]
        return dataclasses.replace(
            self,
            embeddings=self.embeddings[rows],
            raw=self.raw[rows],
            classes=names,
            neutral_index=names.index(neutral) if neutral in names else None,
            provenance=provenance,
        )

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> TextBank:
        """Return the bank on another device, or as float32 or float64."""
        moved: dict[str, Any] = {
            name: tensor.to(device=device, dtype=dtype) for name, tensor in self._tensors().items()
        }
        return dataclasses.replace(self, **moved)

    @property
    def dim(self) -> int:
        """Width D of the text space."""
        return self.raw.shape[1]

    @property
    def logit_bias(self) -> float | None:
        """Offset that the text encoder was trained to add to its logits; None for most."""
        bias = (self.provenance.get("of") or self.provenance).get("logit_bias")
        return None if bias is None else float(bias)

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return len(self.classes)

    def _tensors(self) -> dict[str, Tensor]:
        names = ("embeddings", "raw", "neutral", "neutral_raw")
        return {name: getattr(self, name) for name in names}


def _neutral_row(raw: Tensor, neutral_index: int | None) -> Tensor:
    """The row of the neutral class (D,), which serves as anchor."""
    if neutral_index is None:
        raise LabelError(
            "a text bank needs a neutral anchor",
            expected="neutral_index, or neutral (D,) if no class is neutral",
        )
    check_neutral_index(neutral_index, len(raw))
    return raw[neutral_index]
