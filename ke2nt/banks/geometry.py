"""Other arrangements of a bank's vectors, for sentence embeddings that lie close together."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from ke2nt.banks.ensemble import unit
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ConfigError, TextEncoderError
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["Geometry", "arrange"]

Geometry = Literal["paper", "centered", "whitened"]
_MIN_SINGULAR_VALUE = 1e-5  # smallest singular value, as a share of the largest


def arrange(bank: TextBank, geometry: Geometry) -> TextBank:
    """Return a bank whose classes are further apart.

    Sentences of one template are similar: the classes of the shipped sets have cosines of about
    0.7 to 0.9 with minilm. With T (K, D) the class embeddings and μ their mean:

    - "paper": T unchanged, as in KE2NT (https://arxiv.org/abs/2409.08598).
    - "centered": unit(t_k − μ), the anchor unit(t_0 − μ); likewise the raw embeddings, which are
      not normalized, so that the differences t_y − t_0 stay as they were.
    - "whitened": (T Tᵀ)^(−1/2) T, the orthonormal vectors nearest to T (Löwdin 1950), for both
      raw and normalized embeddings. The anchor is the neutral class; without one it takes part as
      a further row.

    Words that a model was not trained on cannot be arranged in the same way afterwards, so an
    arranged bank does not name its text encoder: its provenance is
    {"geometry", "prompts", "anchor", "of"}.

    Args:
        bank: Text embeddings of K classes.
        geometry: "paper", "centered" or "whitened".

    Raises:
        ConfigError: The geometry is unknown.
        TextEncoderError: The classes do not differ enough, or are more than their width allows.
    """
    if geometry == "paper":
        return bank
    if geometry not in get_args(Geometry):
        raise ConfigError(
            "unknown geometry of the text bank",
            expected=", ".join(get_args(Geometry)),
            found=geometry,
            hint=did_you_mean(str(geometry), get_args(Geometry)),
        )

    arranged = _center(bank) if geometry == "centered" else _whiten(bank)
    provenance = {
        "geometry": geometry,
        "prompts": bank.provenance.get("prompts", {}),
        "anchor": bank.provenance.get("anchor", []),
        "of": bank.provenance,
    }
    return replace(arranged, provenance=provenance)


def _center(bank: TextBank) -> TextBank:
    center, raw_center = bank.embeddings.mean(dim=0), bank.raw.mean(dim=0)
    return replace(
        bank,
        embeddings=unit(bank.embeddings - center),
        raw=bank.raw - raw_center,
        neutral=unit(bank.neutral - center),
        neutral_raw=bank.neutral_raw - raw_center,
    )


def _whiten(bank: TextBank) -> TextBank:
    # without a neutral class the anchor is the last of K + 1 rows
    index = bank.neutral_index
    rows = bank.embeddings if index is not None else torch.vstack([bank.embeddings, bank.neutral])
    rows = _nearest_orthonormal(rows)

    classes, neutral = rows[: bank.num_classes], rows[-1 if index is None else index]
    return replace(
        bank,
        embeddings=classes,
        raw=classes.clone(),
        neutral=neutral.clone(),
        neutral_raw=neutral.clone(),
    )


def _nearest_orthonormal(rows: Tensor) -> Tensor:
    """(N, D) → (N, D): U Vᵀ of the singular value decomposition, which is (T Tᵀ)^(−1/2) T."""
    # float64: close sentences have singular values that differ by orders of magnitude
    left, values, right = torch.linalg.svd(rows.double(), full_matrices=False)
    if len(rows) > len(values) or values[-1] < _MIN_SINGULAR_VALUE * values[0]:
        raise TextEncoderError(
            "these class embeddings cannot be made orthonormal",
            expected=f"{len(rows)} independent vectors",
            found=f"a width of {rows.shape[1]}, or classes that are sums of others",
        )
    return unit((left @ right).to(rows.dtype))
