"""The interfaces of text encoders, image encoders and vision-language models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ke2nt.errors import PromptError, TextEncoderError
from ke2nt.runtime.renamed import warn_renamed

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from ke2nt.data.sample import ImageSource
    from ke2nt.vlm.image_preprocessing import ImagePreprocessing
    from ke2nt.vlm.image_tower import ImageTower, TowerFacts

__all__ = [
    "DEFAULT_LOGIT_SCALE",
    "BuiltinTextEncoder",
    "EncodedText",
    "Fingerprint",
    "ImageEncoder",
    "TextEncoder",
    "VisionLanguageModel",
    "WeightsUnavailableError",
    "check_token_ids",
    "count_hub_pieces",
    "find_unknown_texts",
    "read_logit_parameters",
    "refuse_broken_weights",
    "refuse_truncation",
]

# for encoders without a logit scale; CLIP's learned scale ends at its cap of 100
DEFAULT_LOGIT_SCALE = 100.0

_SHOWN = 80  # characters of a prompt in a message


class WeightsUnavailableError(TextEncoderError):
    """The files of a named encoder are not on this machine and cannot be fetched."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Digests that identify the encoder of an embedding.

    Attributes:
        weights: Hex SHA-256 over the weight files and the settings that change their meaning.
        tokenizer: Hex SHA-256 over the tokenizer's files and settings.
    """

    weights: str
    tokenizer: str


@dataclass(frozen=True, slots=True, eq=False)
class EncodedText:
    """Text embeddings as the text tower returns them.

    Attributes:
        embeddings: (N, D) float32, not normalized unless the tower itself normalizes.
        logit_scale: The factor on cosine similarities that the encoder was trained with
            (exp of its parameter), or None if it has none.
        logit_bias: The offset that SigLIP-like models add to their logits, or None.
        facts: What else decides the embeddings, plain JSON for the provenance of a bank, such as
            {"activation": "quick_gelu"}.
        notes: Sentences that every user of the embeddings should read.
    """

    embeddings: Tensor
    logit_scale: float | None = None
    logit_bias: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@runtime_checkable
class TextEncoder(Protocol):
    """A frozen model that embeds prompts. Nothing is loaded before it is needed.

    Attributes:
        id: Name in cache keys, messages and saved models; it holds no folder of this machine.
    """

    id: str

    @abstractmethod
    def fingerprint(self) -> Fingerprint:
        """Return the digests of weights and tokenizer, without loading the model."""

    @abstractmethod
    def check_lengths(self, prompts: Sequence[str]) -> None:
        """Raise PromptError that names every prompt that would be truncated."""

    @abstractmethod
    def encode_text(self, prompts: Sequence[str]) -> EncodedText:
        """Embed N prompts: (N, D) float32 and the logit scale."""


class ImageEncoder(ABC):
    """A frozen model that embeds images. Nothing is loaded before `load`.

    Attributes:
        id: Name in cache keys and messages; it holds no folder of this machine.
        text_encoder: Name of the text encoder that shares its embedding space.
        trained_classes: Classes that the model was trained on, or None for a general model.
    """

    id: str
    text_encoder: str
    trained_classes: tuple[str, ...] | None = None

    @abstractmethod
    def weights(self) -> str:
        """Return the digest of the image side, without loading the model."""

    @abstractmethod
    def text_weights(self) -> str | None:
        """Return the digest of the text encoder that shares its space, or None if unknown."""

    @abstractmethod
    def preprocessing_facts(self) -> dict[str, Any]:
        """Return everything between pixels and input as plain JSON; part of cache keys.

        Raises:
            ModelError: The preprocessing does not fit the image tower.
        """

    @abstractmethod
    def preprocess(self, source: ImageSource) -> np.ndarray:
        """Decode, resize and crop one image: uint8 (3, H, W). Called from several threads.

        Raises:
            ImageReadError: The image cannot be decoded.
        """

    @abstractmethod
    def load(self, device: torch.device) -> None:
        """Load the model, if it is not loaded yet, and move it to a device."""

    @abstractmethod
    def encode_image(self, pixels: Tensor) -> Tensor:
        """Embed preprocessed images; `load` must have been called.

        Args:
            pixels: uint8 (B, 3, H, W) on the device of the model.

        Returns:
            (B, D), any norm.
        """

    @property
    @abstractmethod
    def logit_scale(self) -> float:
        """Factor on cosine similarities that the model was trained with."""


class BuiltinTextEncoder(TextEncoder):
    """Base of the text encoders of this package, which still answer to an old method name."""

    def encode(self, prompts: Sequence[str]) -> EncodedText:
        """Embed prompts; the name of `encode_text` before version 0.2."""
        warn_renamed("method", "encode", "encode_text")
        return self.encode_text(prompts)


class VisionLanguageModel(BuiltinTextEncoder, ImageEncoder):
    """A text tower and an image tower with one embedding space."""

    def weights(self) -> str:
        """Return the digest of the weights and their configuration."""
        return self.fingerprint().weights

    def text_weights(self) -> str:
        """Return the same digest: one checkpoint holds both towers."""
        return self.weights()

    @property
    @abstractmethod
    def preprocessing(self) -> ImagePreprocessing:
        """Size, mean, standard deviation, interpolation and crop mode of the image tower.

        Raises:
            ModelError: The preprocessing does not fit the image tower.
        """

    @abstractmethod
    def normalize(self, pixels: Tensor) -> Tensor:
        """Normalize preprocessed uint8 pixels (B, 3, H, W): the input of the image tower."""

    @abstractmethod
    def image_tower(self) -> ImageTower:
        """Return a copy of the image tower with its projection, to train or to change.

        Its input is that of `normalize` (B, 3, H, W), its output (B, D) as from `encode_image`.
        """

    @abstractmethod
    def check_image_size(self, size: int) -> None:
        """Check as far as the configuration says whether the image tower can have another size.

        Raises:
            ModelError: It cannot.
        """

    @abstractmethod
    def tower_config(self) -> dict[str, Any]:
        """Return the architecture of the image tower under the library's names, plain JSON."""

    def tower_facts(self) -> TowerFacts:
        """Return all that builds and feeds the image tower again, without these files."""
        from ke2nt.vlm.image_tower import TowerFacts

        return TowerFacts(
            id=self.id,
            library=self.id.partition(":")[0],
            config=self.tower_config(),
            preprocessing=self.preprocessing,
            weights=self.weights(),
            logit_scale=self.logit_scale,
            logit_bias=self.logit_bias,
        )

    @property
    @abstractmethod
    def dim(self) -> int:
        """Width D of the embedding space, read from the configuration."""

    @property
    @abstractmethod
    def logit_bias(self) -> float | None:
        """Offset that SigLIP-like models add to their logits, or None."""


def read_logit_parameters(model: Any) -> tuple[float | None, float | None]:
    """Return logit scale (exp of the parameter) and logit bias of a library's model, or None."""
    scale, bias = getattr(model, "logit_scale", None), getattr(model, "logit_bias", None)
    return (
        None if scale is None else float(scale.detach().exp()),
        None if bias is None else float(bias.detach()),
    )


def refuse_broken_weights(model: nn.Module, *, encoder: str) -> None:
    """Raise TextEncoderError if a parameter of a loaded model is not finite."""
    broken = [name for name, value in model.named_parameters() if not value.isfinite().all()]
    if broken:
        raise TextEncoderError(
            f"the weights of {encoder} hold NaN or infinite values",
            found=f"{len(broken)} such tensors, the first is {broken[0]}",
            hint="Download or save them again.",
        )


def find_unknown_texts(
    tokenizer: Any, prompts: Sequence[str], *, clean: Callable[[str], str] = str
) -> list[str]:
    """Prompts that a tokenizer of transformers reads with its token for unknown words.

    Byte-level tokenizers, CLIP's among them, have no such token and know every text.

    Args:
        tokenizer: The tokenizer.
        prompts: N texts.
        clean: What is done to a text before it is tokenized.
    """
    unknown = tokenizer.unk_token_id
    if unknown is None or unknown in (tokenizer.eos_token_id, tokenizer.pad_token_id):
        return []
    ids = (tokenizer(clean(text), verbose=False)["input_ids"] for text in prompts)
    return [text for text, row in zip(prompts, ids, strict=True) if unknown in row]


def count_hub_pieces(tokenizer: Any, word: str) -> int:
    """Tokens of a word by a tokenizer of transformers, without special ones and a lone blank."""
    ids = tokenizer(word, add_special_tokens=False, verbose=False)["input_ids"]
    blank = tokenizer.convert_ids_to_tokens(ids[:1]) == ["▁"]
    return len(ids) - blank


def check_token_ids(ids: Tensor, tower: nn.Module, *, encoder: str) -> None:
    """Refuse token ids that are not in the table of a text tower.

    Args:
        ids: (B, L) token ids.
        tower: The tower, or its embedding layer; its first table is that of the tokens.
        encoder: Id of the encoder, for the message.

    Raises:
        TextEncoderError: The tokenizer has more tokens than the tower.
    """
    from torch.nn import Embedding

    table = next((part for part in tower.modules() if isinstance(part, Embedding)), None)
    if table is not None and int(ids.max()) >= table.num_embeddings:
        raise TextEncoderError(
            f"the tokenizer and the text tower of {encoder} do not belong together",
            expected=f"token numbers below {table.num_embeddings}, as the tower has them",
            found=f"the token number {int(ids.max())}",
            hint="Use the tokenizer files that the weights were saved with.",
        )


def refuse_truncation(
    prompts: Sequence[str], counts: Sequence[int], limit: int, *, encoder: str
) -> None:
    """Raise PromptError that names every prompt with more tokens than the encoder reads.

    Args:
        prompts: N texts.
        counts: N token counts, special tokens included.
        limit: Context length of the encoder in tokens.
        encoder: Id of the encoder, for the message.
    """
    too_long = [
        f"{_shorten(text)!r} ({n})" for text, n in zip(prompts, counts, strict=True) if n > limit
    ]
    if not too_long:
        return

    plural = "s" if len(too_long) > 1 else ""
    raise PromptError(
        f"{len(too_long)} prompt{plural} would be truncated by {encoder}",
        expected=f"at most {limit} tokens",
        found=", ".join(too_long),
        hint="Shorten the words or descriptions, or choose an encoder that reads more.",
    )


def _shorten(text: str) -> str:
    """The start of a long prompt."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1].rstrip()}…"
