"""Start a model from the weights of a saved one: its image side, or all of it."""

from __future__ import annotations

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.saved_model import SavedModel
from ke2nt.models.base import ExpressionModel

__all__ = ["start_from"]

_ENCODER = ("backbone.", "branches.", "fusion.")
_TEXT_HEAD = ("projection.", "side_projections.", "transformation.")
_LINEAR_HEAD = ("classifier.", "side_classifiers.")
_LEARNED = ("log_logit_scale", "logit_bias")


def start_from(model: ExpressionModel, saved: SavedModel, *, where: object) -> str:
    """Copy the weights of a saved model that mean the same in another one.

    The image encoder with its attention always. Projections and transformation network if both
    models match images with embeddings of one text encoder; the linear head if both have the same
    classes.

    Args:
        model: Built with the saved model's encoder; changed in place.
        saved: The model to start from.
        where: Its name, for messages.

    Returns:
        What was copied, in words.

    Raises:
        CheckpointError: A tensor is missing or has another shape; the model is unchanged.
    """
    parts, copied, state = list(_ENCODER), "image encoder", model.state_dict()
    if model.bank is not None and saved.bank is not None:
        if _same_text(model.bank, saved.bank):
            parts += _TEXT_HEAD
            copied = "image encoder, projection and transformation"
            # a learned scale or bias starts from the configured one if the saved one was fixed
            parts += [name for name in _LEARNED if name in saved.state.keys() & state.keys()]
    elif model.bank is None and saved.bank is None and model.classes == saved.classes:
        parts += _LINEAR_HEAD
        copied = "image encoder and linear head"

    saved.load_into(model, where=where, parts=tuple(parts))
    return copied


def _same_text(bank: TextBank, saved: TextBank) -> bool:
    """Whether two banks hold embeddings of one text encoder in one arrangement."""
    if bank.dim != saved.dim:
        return False
    shared = [name for name in bank.classes if name in saved.classes]
    if shared == list(bank.classes):
        difference = bank.embeddings - saved.select(shared).embeddings
        if float(difference.abs().max()) < 1e-3:
            return True

    # an arranged bank does not name its encoder, and other classes move its vectors
    facts = [
        (each.provenance.get("encoder"), each.provenance.get("weights")) for each in (bank, saved)
    ]
    return facts[0] == facts[1] and facts[0][0] is not None
