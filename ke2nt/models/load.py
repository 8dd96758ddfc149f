"""Load a saved model of any head, and upload one to the hub."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from ke2nt.checkpoints.hub import upload_folder
from ke2nt.checkpoints.model_folder import find_model_folder, read_folder
from ke2nt.errors import CheckpointError
from ke2nt.models.base import ExpressionModel
from ke2nt.models.build import head_class
from ke2nt.runtime.hub_names import looks_like_hub_id

__all__ = ["load_model", "push_to_hub"]


def load_model(name: str | Path) -> ExpressionModel:
    """Load what a model's `save_pretrained` wrote, whatever its head.

    Args:
        name: The folder, a run directory with `model/` inside, a model of the package such as
            "ke2nt/ferplus-faces", or a hub id "user/name".

    Returns:
        The model on the CPU, in evaluation mode.

    Raises:
        CheckpointError: A file is missing, altered, or does not fit; or a model from the hub needs
            the code of a module that is not imported.
        LabelError: The parts of the folder disagree on the label set.
        ModelError: The head is unknown, or the image encoder cannot be built.
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
    """Upload a model to the Hugging Face Hub: the folder that `save_pretrained` writes, with card.

    `load_model(hub_id)` then loads it anywhere.

    Args:
        model: The model; the card states the facts in `model.card`, under the name of the hub id.
        hub_id: "user/name".
        private: Whether a new repository is private.
        dtype: Type of the weights in the repository.
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
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        # the name is that of this upload only
        model.card = {**card, "name": hub_id}
        try:
            model.save_pretrained(folder, dtype=dtype)
        finally:
            model.card = card
        return upload_folder(folder, hub_id, private=private, message=message)
