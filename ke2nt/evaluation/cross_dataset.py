"""Models on datasets that they were not made for: a matrix of evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ke2nt.data.sample import FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import Ke2ntError
from ke2nt.evaluation.evaluate_model import decode_for_model, evaluate_model
from ke2nt.evaluation.score import Evaluation
from ke2nt.labels import LabelPolicy
from ke2nt.models.base import ExpressionModel
from ke2nt.models.load import load_model

__all__ = ["Cell", "Column", "CrossEvaluation", "applicable_merges", "cross_evaluate"]


class Column(Protocol):
    """Something to evaluate on, such as `ke2nt.evaluation.targets.Target`."""

    @property
    def name(self) -> str:
        """What tables call it."""

    def load(self) -> FaceSplit:
        """The images."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""


@dataclass(frozen=True)
class Cell:
    """One model on one dataset.

    Attributes:
        model: The model, as it was asked for.
        target: Name of the column.
        evaluation: The metrics; None where there are none.
        error: Why there are none.
        home: Whether the model was trained on this dataset.
        notes: What must be known of the metrics, such as that the model was chosen on these images.
    """

    model: str
    target: str
    evaluation: Evaluation | None = None
    error: str | None = None
    home: bool = False
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
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
    """A matrix of models and datasets, filled a cell at a time.

    Attributes:
        models: The models, as they were asked for.
        targets: The columns.
        cells: Cells that are done, in the order of their making.
    """

    models: tuple[str, ...]
    targets: tuple[Column, ...]
    cells: list[Cell] = field(default_factory=list)

    @property
    def failed(self) -> list[Cell]:
        """Cells without metrics."""
        return [cell for cell in self.cells if cell.evaluation is None]

    def at(self, model: str, target: str) -> Cell | None:
        """The cell of a model and a column's name; None before it is done."""
        found = (c for c in self.cells if (c.model, c.target) == (model, target))
        return next(found, None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            "models": list(self.models),
            "targets": [target.to_dict() for target in self.targets],
            "cells": [cell.to_dict() for cell in self.cells],
        }


def cross_evaluate(
    models: Sequence[str],
    targets: Sequence[Column],
    *,
    policy: LabelPolicy = "drop",
    merge: Mapping[str, str] | None = None,
    notes: Callable[[str, ExpressionModel, FaceSplit], Sequence[str]] = lambda *_: (),
    each: Callable[[CrossEvaluation], None] = lambda _: None,
    quiet: bool = True,
    **options: Any,
) -> CrossEvaluation:
    """Evaluate every model on every dataset; what fails is named and costs no other cell.

    A dataset is decoded once for all models that take images of one size.

    Args:
        models: Run directories, folders of models or names.
        targets: The columns.
        policy: What to do with classes that only one side has; see `ke2nt.labels.map_labels`.
        merge: Class of the data → class of the model to read it as, where a pair has both.
        notes: What must be known of a model's metrics on a split.
        each: Called after every cell, with what is done so far.
        quiet: No progress on stderr.
        **options: Further options of `evaluate_model`.
    """
    result = CrossEvaluation(tuple(dict.fromkeys(models)), tuple(targets))
    loaded = {name: _attempt(load_model, name) for name in result.models}
    for target in result.targets:
        images = _attempt(_Images, target, quiet)
        for name, model in loaded.items():
            evaluation = _attempt(
                _evaluate, model, images, policy=policy, merge=merge or {}, quiet=quiet, **options
            )
            if isinstance(evaluation, Exception):
                cell = Cell(name, target.name, error=str(evaluation))
            else:
                own = (model.card.get("data") or {}).get("name") == images.split.dataset
                said = tuple(notes(name, model, images.split))
                cell = Cell(name, target.name, evaluation, home=own, notes=said)
            result.cells.append(cell)
            each(result)
    return result


class _Images:
    """A column's split, decoded once for each size that a model asks for."""

    def __init__(self, target: Column, quiet: bool) -> None:
        self.split = target.load()
        self._quiet = quiet
        self._decoded: dict[tuple[int, str], FaceTensors] = {}

    def of_size(self, model: ExpressionModel) -> FaceTensors:
        key = (model.preprocessing.image_size, model.preprocessing.interpolation)
        if key not in self._decoded:
            self._decoded[key] = decode_for_model(model, self.split, quiet=self._quiet)
        return self._decoded[key]


def _evaluate(
    model: ExpressionModel | Exception,
    images: _Images | Exception,
    *,
    policy: LabelPolicy,
    merge: Mapping[str, str],
    **options: Any,
) -> Evaluation:
    if isinstance(model, Exception):
        raise model
    if isinstance(images, Exception):
        raise images
    possible = applicable_merges(merge, images.split, model)
    return evaluate_model(model, images.of_size(model), policy=policy, merge=possible, **options)


def _attempt(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What some work gives, or the error that a user can mend."""
    try:
        return work(*arguments, **options)
    except (Ke2ntError, OSError) as error:
        return error


def applicable_merges(
    merge: Mapping[str, str], split: FaceSplit, model: ExpressionModel
) -> dict[str, str]:
    """The merges of which the split has the one class and the model the other."""
    return {a: b for a, b in merge.items() if a in split.classes and b in model.classes}
