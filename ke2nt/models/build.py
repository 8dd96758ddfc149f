"""From a plain description to a model. A new head is one file and one line here."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ke2nt.banks.text_bank import TextBank
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import ModelError
from ke2nt.labels import check_same_labels
from ke2nt.models.base import ExpressionModel
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.linear import LinearClassifier
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["HEADS", "build_model", "head_class"]

HEADS: Mapping[str, type[ExpressionModel]] = {"text": KE2NT, "linear": LinearClassifier}

# parameters of the constructors that are not part of an architecture
_NOT_ARCHITECTURE = {"self", "bank", "classes", "weights", "min_match", "preprocessing"}


def head_class(head: object) -> type[ExpressionModel]:
    """Return the model class of a head.

    Raises:
        ModelError: The head is unknown.
    """
    if not isinstance(head, str) or head not in HEADS:
        raise ModelError(
            f"unknown head {head!r}",
            expected=f"one of {', '.join(HEADS)}",
            hint=did_you_mean(str(head), HEADS),
        )
    return HEADS[head]


def build_model(
    architecture: Mapping[str, Any] | None = None,
    *,
    bank: TextBank | None = None,
    classes: Sequence[str] | None = None,
    weights: str | Path | None = None,
    min_match: float | None = None,
    preprocessing: Preprocessing | None = None,
    **options: Any,
) -> ExpressionModel:
    """Build a recognizer.

    Args:
        architecture: A model's `architecture`: "head" ("text", the default, or "linear") and the
            options of that model's constructor.
        bank: Text embeddings; required for the text head; their classes are those of the model.
        classes: Class names in index order; required for a linear head without a bank.
        weights: Initial weights of the encoder: None, "timm", "imagenet" or a local file.
        min_match: How much of the encoder a local file must fill, see `load_initial_weights`.
        preprocessing: From pixels to the input.
        **options: Keys of `architecture` that replace those in it.

    Returns:
        The model on the CPU, in training mode.

    Raises:
        ModelError: An option is unknown or the model cannot be built.
        LabelError: Bank and classes disagree, or a linear head has no classes.
        CheckpointError: Initial weights are not available or do not fit.
    """
    # the head decides which options there are
    description = {**(architecture or {}), **options}
    cls = head_class(description.pop("head", "text"))

    parameters = inspect.signature(cls.__init__).parameters.keys() - _NOT_ARCHITECTURE
    if unknown := sorted(description.keys() - parameters):
        name = unknown[0]
        raise ModelError(
            f"unknown option {name!r} of a {cls.head} head",
            expected=f"one of {', '.join(sorted(parameters))}",
            hint=did_you_mean(name, parameters),
        )

    # a bank names the classes; both may be given, and must agree
    if classes is None:
        classes = () if bank is None else bank.classes
    elif bank is not None:
        check_same_labels(classes, bank.classes, where="the text bank")
    return cls.from_architecture(
        description,
        classes=tuple(classes),
        bank=bank,
        weights=weights,
        min_match=min_match,
        preprocessing=preprocessing,
    )
