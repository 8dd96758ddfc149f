"""A model written to a folder that `from_pretrained` loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.model_folder import write_folder
from ke2nt.checkpoints.saved_model import SavedModel, StoredAsJson, StoredWithTensors
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import CheckpointError
from ke2nt.runtime.provenance import provenance as machine_provenance

__all__ = ["save_model"]


class _Saveable(Protocol):
    """What a model folder is written from; every `ExpressionModel` has it."""

    preprocessing: Preprocessing
    provenance: dict[str, Any]
    card: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def bank(self) -> TextBank | None: ...

    @property
    def architecture(self) -> dict[str, Any]: ...

    @property
    def calibration(self) -> StoredAsJson | None: ...

    @property
    def familiarity(self) -> StoredWithTensors | None: ...

    def state_dict(self) -> Mapping[str, Tensor]: ...


def save_model(
    model: _Saveable,
    folder: Path,
    *,
    provenance: Mapping[str, Any],
    dtype: torch.dtype,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a model folder.

    Args:
        model: The model.
        folder: New, empty, or an older saved model, which is replaced in one step.
        provenance: Plain JSON facts to add to those of the machine and of the model.
        dtype: Type of the weights on disk.
        state: Weights in place of the model's `state_dict()`.

    Raises:
        CheckpointError: The folder holds other files, a weight is out of the dtype's range, or the
            backbone was given as a module, which cannot be built again.
    """
    if model.architecture["backbone"] is None:
        raise CheckpointError(
            "a model whose backbone was given as a module cannot be saved",
            expected="a backbone that can be built again when the model is loaded",
            hint='Name its class instead: backbone="package.module.Net".',
        )

    # facts of this call come last, so that they replace those of an earlier save
    saved = SavedModel(
        classes=model.classes,
        architecture=model.architecture,
        preprocessing=model.preprocessing,
        provenance={**machine_provenance(), **model.provenance, **provenance},
        bank=model.bank,
        state=model.state_dict() if state is None else state,
        calibration=None if model.calibration is None else model.calibration.to_dict(),
        familiarity=None if model.familiarity is None else model.familiarity.to_dict(),
        familiarity_tensors={} if model.familiarity is None else model.familiarity.tensors(),
        card=model.card,
    )
    write_folder(folder, saved, dtype=dtype)
