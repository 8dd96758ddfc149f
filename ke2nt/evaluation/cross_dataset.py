"""Models evaluated on datasets that they were not trained on: a matrix of evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ke2nt.data.sample import FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.attempt import attempt, or_raise
from ke2nt.evaluation.evaluate_model import EvaluationOptions, decode_for_model, evaluate_model
from ke2nt.evaluation.score import Evaluation
from ke2nt.models.base import ExpressionModel
from ke2nt.models.load import load_model

__all__ = ["Cell", "CrossEvaluation", "EvaluationTarget", "applicable_merges", "cross_evaluate"]


class EvaluationTarget(Protocol):
    """Something to evaluate on, such as `ke2nt.evaluation.targets.Target`."""

    @property
    def name(self) -> str:
        """Name in tables."""

    def load(self) -> FaceSplit:
        """Load the images."""

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""


@dataclass(frozen=True)
class Cell:
    """One model on one dataset.

    Attributes:
        model: The model, as it was requested.
        target: Name of the dataset.
        evaluation: The metrics; None if the evaluation failed.
        error: Why it failed.
        home: Whether the model was trained on this dataset.
        notes: Caveats about the metrics, such as that the model was chosen on these images.
    """

    model: str
    target: str
    evaluation: Evaluation | None = None
    error: str | None = None
    home: bool = False
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        metrics = {} if self.evaluation is None else self.evaluation.to_dict()
        return {
            "model": self.model,
            "target": self.target,
            "error": self.error,
            "home": self.home,
            "notes": list(self.notes),
            **metrics,
        }


@dataclass
class CrossEvaluation:
    """A matrix of models and datasets, filled one cell at a time.

    Attributes:
        models: The models, as they were requested.
        targets: The datasets.
        cells: Finished cells, in the order in which they were computed.
    """

    models: tuple[str, ...]
    targets: tuple[EvaluationTarget, ...]
    cells: list[Cell] = field(default_factory=list)

    @property
    def failed(self) -> list[Cell]:
        """Cells without metrics."""
        return [cell for cell in self.cells if cell.evaluation is None]

    def get_cell(self, model: str, target: str) -> Cell | None:
        """Return the cell of a model and a dataset's name; None before it is computed."""
        for cell in self.cells:
            if (cell.model, cell.target) == (model, target):
                return cell
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return {
            "models": list(self.models),
            "targets": [target.to_dict() for target in self.targets],
            "cells": [cell.to_dict() for cell in self.cells],
        }


def cross_evaluate(
    models: Sequence[str],
    targets: Sequence[EvaluationTarget],
    *,
    notes: Callable[[str, ExpressionModel, FaceSplit], Sequence[str]] = lambda *_: (),
    on_cell: Callable[[CrossEvaluation], None] = lambda _: None,
    **fields: Any,
) -> CrossEvaluation:
    """Evaluate every model on every dataset; a failure is recorded and affects no other cell.

    A dataset is decoded once for all models with the same image size.

    Args:
        models: Run directories, model folders or model names.
        targets: The datasets.
        notes: Returns caveats about a model's metrics on a split.
        on_cell: Called after every cell with the result so far.
        **fields: Fields of `EvaluationOptions`. The default policy here is "drop", and `merge`
            applies to each pair that has both of its classes.
    """
    # Datasets rarely have the same classes, so those that do not match are dropped.
    options = replace(EvaluationOptions(policy="drop"), **fields)
    result = CrossEvaluation(tuple(dict.fromkeys(models)), tuple(targets))
    loaded = {name: attempt(load_model, name) for name in result.models}

    for target in result.targets:
        images = attempt(_DecodedTarget, target, options.quiet)
        for name, model in loaded.items():
            # Errors of the model or the dataset come up again here, once for each of their cells.
            evaluation = attempt(_evaluate_pair, model, images, options)
            if isinstance(evaluation, Exception):
                cell = Cell(name, target.name, error=str(evaluation))
            else:
                home = (model.card.get("data") or {}).get("name") == images.split.dataset
                caveats = tuple(notes(name, model, images.split))
                cell = Cell(name, target.name, evaluation, home=home, notes=caveats)

            result.cells.append(cell)
            on_cell(result)
    return result


class _DecodedTarget:
    """A dataset's split, decoded once for each size that a model needs."""

    def __init__(self, target: EvaluationTarget, quiet: bool) -> None:
        self.split = target.load()
        self._quiet = quiet
        self._decoded: dict[tuple[Any, ...], FaceTensors] = {}

    def decode_for(self, model: ExpressionModel) -> FaceTensors:
        # All that decoding depends on.
        settings = model.preprocessing
        key = (settings.image_size, *settings.resizing().values())
        if key not in self._decoded:
            self._decoded[key] = decode_for_model(model, self.split, quiet=self._quiet)
        return self._decoded[key]


def _evaluate_pair(
    model: ExpressionModel | Exception,
    images: _DecodedTarget | Exception,
    options: EvaluationOptions,
) -> Evaluation:
    """Evaluate a model on a dataset, or raise the error that came up when one was loaded."""
    usable, decoded = or_raise(model), or_raise(images)
    merge = applicable_merges(options.merge or {}, decoded.split, usable)
    return evaluate_model(usable, decoded.decode_for(usable), replace(options, merge=merge))


def applicable_merges(
    merge: Mapping[str, str], split: FaceSplit, model: ExpressionModel
) -> dict[str, str]:
    """Select the merges whose first class is in the split and whose second is in the model."""
    return {a: b for a, b in merge.items() if a in split.classes and b in model.classes}
