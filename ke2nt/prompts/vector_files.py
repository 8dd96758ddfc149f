"""Files of learned vectors: safetensors beside the YAML of their prompt set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictStr

from ke2nt.errors import PromptError
from ke2nt.prompts.learned_vectors import LearnedVectors, register
from ke2nt.runtime.atomic import write_bytes

if TYPE_CHECKING:
    import numpy as np

__all__ = ["LearnedFacts", "pack_vectors", "read_vectors", "write_vectors"]

_MAX_BYTES = 100_000_000
_FILE = r"^[A-Za-z0-9][A-Za-z0-9_.-]*\.safetensors$"
_HEX = r"^[0-9a-f]{64}$"

Digest = Annotated[StrictStr, Field(pattern=_HEX)]


class LearnedFacts(BaseModel):
    """What a prompt set says about its learned vectors.

    Attributes:
        encoder: Id of the encoder that they were learned for.
        weights: Digest of its weights.
        tokenizer: Digest of its tokenizer.
        vectors: Name of the safetensors file beside the prompt set.
        class_specific: Whether each class has vectors of its own.
        nearest: Digest of a context → for each vector, the nearest words of the vocabulary with
            their Euclidean distances.
        training: How they were learned, plain JSON.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: StrictStr
    weights: Digest
    tokenizer: Digest
    vectors: Annotated[StrictStr, Field(pattern=_FILE)]
    class_specific: bool = False
    nearest: dict[StrictStr, tuple[dict[StrictStr, StrictFloat], ...]] = {}
    training: dict[StrictStr, Any] = {}


def pack_vectors(contexts: Sequence[LearnedVectors]) -> bytes:
    """Return contexts as the bytes of a safetensors file, each (M, W) tensor under its digest."""
    from safetensors.numpy import save

    return save({context.digest: context.values for context in contexts})


def write_vectors(path: Path, contexts: Sequence[LearnedVectors]) -> None:
    """Write contexts as a safetensors file."""
    write_bytes(path, pack_vectors(contexts))


def read_vectors(prompt_file: Path, facts: Any) -> None:
    """Make the vectors of a prompt set known; nothing in the files is trusted.

    Args:
        prompt_file: The YAML file.
        facts: Its key `learned`, of any kind.

    Raises:
        PromptError: The vectors are absent, altered, or not those of the set's encoder.
    """
    # a wrong form is reported with all other problems of the set
    names = ("encoder", "weights", "tokenizer", "vectors")
    if not isinstance(facts, dict) or not all(isinstance(facts.get(name), str) for name in names):
        return
    if not re.match(_FILE, facts["vectors"]):
        return

    path = prompt_file.parent / facts["vectors"]
    encoder, weights, tokenizer = (facts[name] for name in names[:3])
    for digest, values in _read_tensors(path).items():
        vectors = LearnedVectors(values, encoder, weights, tokenizer)
        if vectors.digest != digest:
            raise PromptError(
                "the learned vectors cannot be used",
                where=path,
                expected=f"the vectors {digest} for the encoder that {prompt_file.name} names",
                found="other vectors, or another encoder",
                hint="A file was altered, or the two files do not belong together.",
            )
        register(vectors)


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"over {_MAX_BYTES:,} bytes")
        tensors = load(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        found = error.strerror if isinstance(error, OSError) else error
        raise PromptError(
            "the learned vectors cannot be read",
            where=path,
            found=found,
            hint="The .safetensors file belongs beside the YAML file of the prompt set.",
        ) from None

    # a width of the wrong encoder is found when the prompts are embedded
    for values in tensors.values():
        if values.dtype != np.float32 or values.ndim != 2 or not np.isfinite(values).all():
            raise PromptError(
                "the learned vectors cannot be used",
                where=path,
                expected="finite float32 numbers (M, W)",
                found=f"{values.dtype} {values.shape}",
            )
    return tensors
