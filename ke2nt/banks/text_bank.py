"""The text bank: the frozen class embeddings that images are compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from ke2nt.banks.bank_content import BankContent
from ke2nt.banks.bank_files import FACTS, TENSORS, read_bank, write_bank
from ke2nt.banks.build import build_content
from ke2nt.banks.ensemble import unit
from ke2nt.errors import LabelError, TextEncoderError
from ke2nt.runtime.suggest import did_you_mean
from ke2nt.vlm.catalog import DEFAULT_ENCODER

if TYPE_CHECKING:
    from ke2nt.prompts.prompt_set import PromptSet
    from ke2nt.vlm.catalog import TextEncoder

__all__ = ["TextBank"]


@dataclass(frozen=True, eq=False)
class TextBank(BankContent):
    """Text embeddings of K classes and of the neutral anchor; see `BankContent` for its fields.

    Example:
        >>> bank = TextBank.build("paper")
        >>> bank.embeddings.shape
        torch.Size([8, 384])
    """

    @classmethod
    def build(
        cls,
        prompts: PromptSet | str | Path,
        encoder: str | TextEncoder = DEFAULT_ENCODER,
        classes: Sequence[str] | None = None,
        cache_dir: str | Path | None = None,
    ) -> Self:
        """Embed a prompt set, or take it from the shipped banks or the cache.

        Args:
            prompts: A prompt set, the name of a shipped one, or a YAML file.
            encoder: "minilm", "open_clip:ARCH/TAG-or-checkpoint", "transformers:ID-or-folder", or
                a `TextEncoder`.
            classes: Classes of the set in the order wanted; all of them unless given.
            cache_dir: Cache folder; `KE2NT_CACHE` or the platform's unless given.

        Raises:
            PromptError: No such prompt set or class, or a prompt would be truncated.
            TextEncoderError: The encoder is unknown or its files cannot be found or loaded.
            MissingExtraError: minilm is needed for new words and not installed.
            CacheError: The cache folder cannot be used.
        """
        built = build_content(prompts, encoder, classes, cache_dir)
        return cls._of(built.content).select(built.classes)

    @classmethod
    def from_tensors(
        cls,
        raw: Tensor,
        *,
        classes: Sequence[str],
        neutral_index: int | None,
        logit_scale: float,
        neutral: Tensor | None = None,
    ) -> Self:
        """A bank from embeddings of your own.

        Args:
            raw: (K, D) class embeddings, any norm but 0. float64 stays float64, all else becomes
                float32.
            classes: K unique names.
            neutral_index: Index of the neutral class, or None where no class is neutral.
            logit_scale: Factor on cosine similarities; CLIP's is 100.
            neutral: (D,) embedding of the neutral anchor, any norm but 0; the row at
                `neutral_index` unless given.

        Raises:
            LabelError: Names and rows do not fit, or there is no neutral anchor.
            TextEncoderError: A number is not finite, a row is zero, or a shape is wrong.
        """
        names = tuple(classes)
        if raw.ndim != 2 or raw.shape[0] != len(names):
            raise LabelError(
                "rows and class names do not match",
                expected=f"({len(names)}, D) for the classes {', '.join(names)}",
                found=tuple(raw.shape),
            )
        raw = raw.detach().to(torch.float64 if raw.dtype == torch.float64 else torch.float32)
        if neutral is None:
            if neutral_index is None:
                raise LabelError(
                    "a text bank needs a neutral anchor",
                    expected="neutral_index, or neutral (D,) where no class is neutral",
                )
            if neutral_index not in range(len(names)):
                raise LabelError(
                    "the neutral index names no class",
                    expected=f"0 to {len(names) - 1}, or None",
                    found=neutral_index,
                )
            neutral = raw[neutral_index]
        elif neutral.ndim != 1 or neutral.shape[0] != raw.shape[1]:
            raise TextEncoderError(
                "the neutral anchor has the wrong shape",
                expected=(raw.shape[1],),
                found=tuple(neutral.shape),
            )
        neutral = neutral.detach().to(raw).clone()
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
    def load(cls, folder: str | Path) -> Self:
        """Read the bank that `save` wrote into a folder.

        Raises:
            CheckpointError: A file is missing, truncated, altered or no text bank.
        """
        return cls._of(read_bank(Path(folder) / TENSORS, Path(folder) / FACTS))

    def save(self, folder: str | Path) -> None:
        """Write text_bank.safetensors (float32) and text_bank.json into a folder."""
        write_bank(self, Path(folder) / TENSORS, Path(folder) / FACTS)

    def select(self, classes: Sequence[str]) -> Self:
        """The bank of some of the classes, in the order asked for; the anchor stays.

        Raises:
            LabelError: A class is not in the bank, or is named twice.
        """
        for name in classes:
            if name not in self.classes:
                raise LabelError(
                    f"the text bank has no class {name!r}",
                    expected=f"one of {', '.join(self.classes)}",
                    hint=did_you_mean(name, self.classes),
                )
        names = tuple(classes)
        rows = [self.classes.index(name) for name in names]
        neutral = None if self.neutral_index is None else self.classes[self.neutral_index]
        provenance = dict(self.provenance)
        if isinstance(prompts := provenance.get("prompts"), dict):
            provenance["prompts"] = {name: prompts[name] for name in names if name in prompts}
        return dataclasses.replace(
            self,
            embeddings=self.embeddings[rows],
            raw=self.raw[rows],
            classes=names,
            neutral_index=names.index(neutral) if neutral in names else None,
            provenance=provenance,
        )

    def to(self, device: torch.device | str | None = None, dtype: Any = None) -> Self:
        """The bank on another device, or as float32 or float64."""
        tensors = ("embeddings", "raw", "neutral", "neutral_raw")
        moved = {name: getattr(self, name).to(device=device, dtype=dtype) for name in tensors}
        return dataclasses.replace(self, **moved)

    @property
    def dim(self) -> int:
        """Width D of the text space."""
        return self.raw.shape[1]

    @property
    def num_classes(self) -> int:
        """Number of classes K."""
        return len(self.classes)

    @classmethod
    def _of(cls, content: BankContent) -> Self:
        values = {field.name: getattr(content, field.name) for field in dataclasses.fields(content)}
        return cls(**values)
