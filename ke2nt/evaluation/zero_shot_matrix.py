"""Several vision-language models with several prompt sets on several datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ke2nt.data.sample import FaceSplit
from ke2nt.evaluation.attempt import attempt, or_raise
from ke2nt.evaluation.cross_dataset import EvaluationTarget
from ke2nt.evaluation.embed_split import ImageEmbeddings, embed_split
from ke2nt.evaluation.image_encoders import get_image_encoder
from ke2nt.evaluation.result_tables import ResultRow, metrics_table, recall_table
from ke2nt.evaluation.zero_shot import ZeroShot, ZeroShotOptions, choose_classes, score_prompts
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.tables.table import Table
from ke2nt.vlm.base import ImageEncoder

__all__ = ["ZeroShotCell", "ZeroShotMatrix", "zero_shot_matrix"]

_NAMES = ("model", "prompts", "dataset")


@dataclass(frozen=True)
class ZeroShotCell:
    """One model with one prompt set on one dataset.

    Attributes:
        encoder: The model, as it was requested.
        prompts: Name of the prompt set.
        target: Name of the dataset.
        result: The metrics; None if the evaluation failed.
        error: Why it failed.
        notes: Caveats about the metrics.
        preprocessing: How the model's images were prepared, plain JSON.
    """

    encoder: str
    prompts: str
    target: str
    result: ZeroShot | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()
    preprocessing: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, str, str]:
        """Model, prompt set and dataset."""
        return self.encoder, self.prompts, self.target

    def __str__(self) -> str:
        return f"{self.encoder} with {self.prompts} on {self.target}"

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return {
            **dict(zip(_NAMES, self.names, strict=True)),
            "error": self.error,
            "notes": list(self.notes),
            "preprocessing": dict(self.preprocessing),
            **({} if self.result is None else self.result.to_dict()),
        }


@dataclass
class ZeroShotMatrix:
    """Models, prompt sets and datasets, filled one cell at a time.

    Attributes:
        encoders: The models, as they were requested.
        prompts: Names of the prompt sets.
        targets: The datasets.
        cells: Finished cells, in the order in which they were computed.
    """

    encoders: tuple[str, ...]
    prompts: tuple[str, ...]
    targets: tuple[EvaluationTarget, ...]
    cells: list[ZeroShotCell] = field(default_factory=list)

    @property
    def failed(self) -> list[ZeroShotCell]:
        """Cells without metrics."""
        return [cell for cell in self.cells if cell.result is None]

    def tables(self) -> list[Table]:
        """Build a row of metrics for each cell, and one with the recall of each class."""
        rows = [
            ResultRow(
                cell.names, None if cell.result is None else cell.result.evaluation, cell.error
            )
            for cell in self.cells
        ]
        return [metrics_table(_NAMES, rows), recall_table(_NAMES, rows)]

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return {
            "models": list(self.encoders),
            "prompts": list(self.prompts),
            "targets": [target.to_dict() for target in self.targets],
            "cells": [cell.to_dict() for cell in self.cells],
        }


def zero_shot_matrix(
    encoders: Sequence[str],
    prompts: Sequence[PromptSet],
    targets: Sequence[EvaluationTarget],
    *,
    load: Callable[[str], ImageEncoder] = get_image_encoder,
    notes: Callable[[str, ImageEncoder, FaceSplit], Sequence[str]] = lambda *_: (),
    on_cell: Callable[[ZeroShotMatrix], None] = lambda _: None,
    **fields: Any,
) -> ZeroShotMatrix:
    """Evaluate every model with every prompt set on every dataset.

    A failure is recorded and affects no other cell. The images of a dataset are embedded once for
    each model and kept in the cache, so an interrupted matrix goes on where it stopped.

    Args:
        encoders: Models as for `get_image_encoder`.
        prompts: Prompt sets with different names.
        targets: Datasets with different names.
        load: Returns the image encoder of a name.
        notes: Returns caveats about a model's metrics on a split.
        on_cell: Called after every cell with the result so far.
        **fields: Fields of `ZeroShotOptions`.
    """
    options = replace(ZeroShotOptions(), **fields)
    result = ZeroShotMatrix(
        tuple(dict.fromkeys(encoders)), tuple(each.name for each in prompts), tuple(targets)
    )
    splits = {target.name: attempt(target.load) for target in targets}

    # one model is in memory at a time
    for name in result.encoders:
        encoder = attempt(load, name)
        for target in targets:
            pair = _Pair(encoder, splits[target.name], options)
            for prompt_set in prompts:
                cell = ZeroShotCell(name, prompt_set.name, target.name)
                found = attempt(pair.score, prompt_set)
                if isinstance(found, Exception):
                    cell = replace(cell, error=str(found))
                else:
                    facts = pair.encoder.preprocessing_facts()
                    caveats = [
                        *notes(name, pair.encoder, pair.split),
                        *found.bank.provenance.get("notes", ()),
                    ]
                    cell = replace(cell, result=found, notes=tuple(caveats), preprocessing=facts)
                result.cells.append(cell)
                on_cell(result)
    return result


class _Pair:
    """A model and a dataset, whose images are embedded once, when they are first needed."""

    def __init__(
        self,
        encoder: ImageEncoder | Exception,
        split: FaceSplit | Exception,
        options: ZeroShotOptions,
    ) -> None:
        self._encoder, self._split, self._options = encoder, split, options
        self._images: ImageEmbeddings | Exception | None = None

    @property
    def encoder(self) -> ImageEncoder:
        """The model, or its error raised."""
        return or_raise(self._encoder)

    @property
    def split(self) -> FaceSplit:
        """The dataset, or its error raised."""
        return or_raise(self._split)

    def score(self, prompts: PromptSet) -> ZeroShot:
        """Score a prompt set.

        Raises:
            Ke2ntError, OSError: The model, the dataset or the prompts cannot be used.
        """
        # labels that do not fit are found before anything is embedded
        encoder, split, options = self.encoder, self.split, self._options
        classes = choose_classes(prompts, split.classes, options)
        if self._images is None:
            self._images = attempt(self._embed, encoder)
        return score_prompts(or_raise(self._images), prompts, classes, split, options)

    def _embed(self, encoder: ImageEncoder) -> ImageEmbeddings:
        options = self._options
        return embed_split(encoder, self.split, cache_dir=options.cache_dir, **options.computing())
