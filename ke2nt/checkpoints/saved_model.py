"""The content of a model folder in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.folder_config import CONFIG
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import CheckpointError

__all__ = ["SavedModel", "StoredAsJson", "StoredWithTensors"]


class StoredAsJson(Protocol):
    """An object that a config.json holds, such as a calibration."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        ...


class StoredWithTensors(StoredAsJson, Protocol):
    """An object that config.json and a file of tensors hold, such as a familiarity."""

    def tensors(self) -> dict[str, Tensor]:
        """Name → tensor."""
        ...


@dataclass(frozen=True, slots=True)
class SavedModel:
    """Content of a model folder.

    Attributes:
        classes: Class names in index order.
        architecture: Argument of `ke2nt.models.build.build_model`.
        preprocessing: From pixels to the model's input.
        provenance: Origin of the model, plain JSON.
        bank: Text embeddings, None for a linear head.
        state: The module's state dict, on the CPU.
        calibration: Calibration of its logits, plain JSON, or None.
        familiarity: Which images the model knows, plain JSON, or None.
        familiarity_tensors: The tensors that belong to it.
        card: Facts for the model card, plain JSON: name, data, config, evaluations.
        folder: The folder it was read from; None before it is written.
    """

    classes: tuple[str, ...]
    architecture: dict[str, Any]
    preprocessing: Preprocessing
    provenance: dict[str, Any]
    bank: TextBank | None
    state: Mapping[str, Tensor]
    calibration: Mapping[str, Any] | None = None
    familiarity: Mapping[str, Any] | None = None
    familiarity_tensors: Mapping[str, Tensor] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def config_file(self) -> Path | None:
        """The file that holds all but tensors."""
        return None if self.folder is None else self.folder / CONFIG

    def load_into(
        self, module: nn.Module, *, where: object, parts: tuple[str, ...] = ("",)
    ) -> None:
        """Copy the saved tensors into a module.

        Args:
            module: Built from `architecture`.
            where: Name of the model, for messages.
            parts: Prefixes of the names to copy; by default all.

        Raises:
            CheckpointError: Names or shapes differ; the module is unchanged.
        """
        # name → shape on both sides
        shapes, saved = (
            {name: tuple(value.shape) for name, value in state.items() if name.startswith(parts)}
            for state in (module.state_dict(), self.state)
        )
        names = shapes.keys() | saved.keys()
        wrong = sorted(name for name in names if shapes.get(name) != saved.get(name))

        if wrong:
            first = wrong[0]
            raise CheckpointError(
                f"{len(wrong)} saved tensors do not fit the architecture, {first} first",
                expected=f"shape {shapes[first]}" if first in shapes else "no such tensor",
                found=f"shape {saved[first]}" if first in saved else "none",
                where=where,
            )
        with torch.no_grad():
            module.load_state_dict({**module.state_dict(), **{n: self.state[n] for n in saved}})
