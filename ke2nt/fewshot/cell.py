"""One fitted method with its logits: a cell of the table, and its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import CheckpointError
from ke2nt.fewshot.method import Fitted
from ke2nt.fewshot.names import ZERO_SHOT, Shots
from ke2nt.models.adapters import build_adapter
from ke2nt.runtime.tensor_files import read_metadata, read_safetensors, write_safetensors

__all__ = ["FewShotCell", "cell_name", "read_cell", "write_cell"]

_ADAPTER, _BANK = "adapter.", "bank."
_BANK_TENSORS = ("embeddings", "raw", "neutral", "neutral_raw")


@dataclass(frozen=True, eq=False)
class FewShotCell:
    """One method with one number of shots and one seed.

    Attributes:
        method: Its name.
        shots: Images of each class; 0 for zero-shot.
        seed: Seed of the draw and of the training.
        fitted: The classifier.
        logits: float32 (N, K) of the evaluated images.
        seconds: How long it took to fit, the choice of hyperparameters included.
    """

    method: str
    shots: Shots
    seed: int
    fitted: Fitted
    logits: Tensor
    seconds: float

    @property
    def name(self) -> str:
        """Name of its file and of its model folder."""
        return cell_name(self.method, self.shots, self.seed)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """float64 (N, K), rows sum to 1."""
        result: np.ndarray = self.logits.double().softmax(dim=1).numpy()
        return result


def write_cell(path: Path, cell: FewShotCell, key: str) -> None:
    """Write a cell as one file, with the digest of everything that decides it."""
    tensors = {"logits": cell.logits}
    fitted = cell.fitted
    if fitted.adapter is not None:
        state = fitted.adapter.state_dict()
        tensors |= {f"{_ADAPTER}{name}": value for name, value in state.items()}
    tensors |= {f"{_BANK}{name}": getattr(fitted.bank, name) for name in _BANK_TENSORS}

    bank = fitted.bank
    facts = {
        "key": key,
        "method": cell.method,
        "shots": cell.shots,
        "seed": cell.seed,
        "seconds": cell.seconds,
        "chosen": dict(fitted.chosen),
        "adapter": None if fitted.adapter is None else fitted.adapter.options,
        "bank": {
            "classes": list(bank.classes),
            "neutral_index": bank.neutral_index,
            "logit_scale": bank.logit_scale,
            "provenance": bank.provenance,
        },
    }
    metadata = {"ke2nt few-shot": json.dumps(facts, allow_nan=False)}
    write_safetensors(path, tensors, metadata, dtype=torch.float32)


def cell_name(method: str, shots: Shots, seed: int) -> str:
    """Return the name of a cell's file and of its model folder."""
    return method if method == ZERO_SHOT else f"{method}-{shots}-{seed}"


def read_cell(path: Path, key: str) -> FewShotCell | None:
    """Read a cell, or return None if there is none, or one that something else decided.

    A damaged file counts as none: it is computed again.
    """
    if not path.is_file():
        return None
    try:
        facts = json.loads(read_metadata(path)["ke2nt few-shot"])
        tensors = read_safetensors(path)
    except (CheckpointError, KeyError, ValueError):
        return None
    return _build_cell(facts, tensors) if facts.get("key") == key else None


def _build_cell(facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> FewShotCell:
    """The cell of a file whose key is right."""
    bank_facts = facts["bank"]
    bank = TextBank(
        **{name: tensors[f"{_BANK}{name}"] for name in _BANK_TENSORS},
        classes=tuple(bank_facts["classes"]),
        neutral_index=bank_facts["neutral_index"],
        logit_scale=bank_facts["logit_scale"],
        provenance=bank_facts["provenance"],
    )

    adapter = None
    if facts["adapter"] is not None:
        adapter = build_adapter(facts["adapter"], bank.dim)
        state = {k.removeprefix(_ADAPTER): v for k, v in tensors.items() if k.startswith(_ADAPTER)}
        adapter.load_state_dict(state)
        adapter.eval()
    return FewShotCell(
        facts["method"],
        facts["shots"],
        facts["seed"],
        Fitted(adapter, bank, facts["chosen"]),
        tensors["logits"],
        facts["seconds"],
    )
