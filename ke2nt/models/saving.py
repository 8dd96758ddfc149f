"""Load a saved model of any head."""

from __future__ import annotations

from pathlib import Path

from ke2nt.models.build import head_class
from ke2nt.models.folder import find_model_folder, read_folder
from ke2nt.models.recogniser import Recogniser

__all__ = ["load_model"]


def load_model(name: str | Path) -> Recogniser:
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
