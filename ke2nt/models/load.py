"""Load a saved model of any head, and send one to the hub."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from ke2nt.checkpoints.hub import looks_like_hub_id, upload_folder
from ke2nt.checkpoints.model_folder import find_model_folder, read_folder
from ke2nt.errors import CheckpointError
from ke2nt.models.base import ExpressionModel
from ke2nt.models.build import head_class

__all__ = ["load_model", "push_to_hub"]


def load_model(name: str | Path) -> ExpressionModel:
    """Load what a model's `save_pretrained` wrote, whatever its head.

    Args:
        name: The folder, a run directory with `model/` inside, a model of the package such as
            "ke2nt/ferplus-resnet18", or a hub id "user/name".

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        CheckpointError: A file is absent, altered, or does not fit.
        LabelError: The parts of the folder disagree on the label set.
        ModelError: The head is unknown.
    """
    saved = read_folder(find_model_folder(name))
    return head_class(saved.architecture.get("head")).from_saved(saved, where=name)


def push_to_hub(
    model: ExpressionModel,
    hub_id: str,
    *,
    private: bool = False,
    dtype: torch.dtype = torch.float32,
    message: str = "Upload a ke2nt model",
) -> str:
    """Send a model to the Hugging Face Hub: its folder as it is saved, card included.

    `load_model(hub_id)` then loads it anywhere.

    Args:
        model: The model; `model.card` is what its card states, under the name of the hub id.
        hub_id: "user/name".
        private: Whether a repository that is made now is private.
        dtype: Of the weights as they are sent.
        message: Commit message.

    Returns:
        Address of the commit.

    Raises:
        CheckpointError: The name is not valid, or the hub cannot be reached or refuses.
    """
    if not looks_like_hub_id(hub_id) or hub_id.startswith("ke2nt/"):
        raise CheckpointError(
            "not the name of a hub repository",
            expected='"user/name"; "ke2nt/…" are models of the package',
            found=repr(hub_id),
        )
    card = model.card
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside) / "model"
        model.card = {**card, "name": hub_id}
        try:
            model.save_pretrained(folder, dtype=dtype)
        finally:
            model.card = card
        return upload_folder(folder, hub_id, private=private, message=message)
