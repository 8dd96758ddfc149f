"""One vector for the many prompts of a class."""

from __future__ import annotations

import torch
from torch import Tensor

from ke2nt.errors import TextEncoderError
from ke2nt.runtime.l2_normalize import l2_normalize_checked

__all__ = ["ENSEMBLE_RULE", "average", "unit"]

# part of every cache key, so its spelling stays
ENSEMBLE_RULE = "raw: mean; embedding: normalised mean of normalised"


def unit(vectors: Tensor) -> Tensor:
    """Scale vectors (…, D) to length 1, computed in float64, in the given dtype.

    Raises:
        TextEncoderError: A vector is zero or not finite.
    """
    error = TextEncoderError("a text embedding is zero or not finite and has no direction")
    return l2_normalize_checked(vectors.to(torch.float64), error).to(vectors.dtype)


def average(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Average the prompt embeddings of a class.

    Zero-shot classifiers of CLIP average unit vectors and normalize again (Radford et al. 2021,
    section 3.1.4), so that each prompt has the same weight; KE2NT's differences t_y − t_0 use the
    embeddings as the text tower returns them.

    Args:
        embeddings: (N, D), one row for each prompt, as the text tower returns them.

    Returns:
        `raw` (D,), the mean, and `embedding` (D,), the unit vector along the mean of the unit
        vectors. Both in the given dtype, computed in float64.
    """
    wide = embeddings.to(torch.float64)
    direction = unit(unit(wide).mean(dim=0))
    return wide.mean(dim=0).to(embeddings.dtype), direction.to(embeddings.dtype)
