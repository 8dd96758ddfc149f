"""Prompt sets tried on a dataset whose images are embedded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ke2nt.data.sample import FaceSplit
from ke2nt.errors import Ke2ntError, PromptError
from ke2nt.evaluation.embed_split import ImageEmbeddings, embed_split
from ke2nt.evaluation.image_encoders import get_image_encoder
from ke2nt.promptlab.intervals import Metrics, compute_metrics
from ke2nt.promptlab.text_geometry import Geometry, geometry
from ke2nt.promptlab.workbench import build_workbench, load_prompt_sets
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.resources import list_resources
from ke2nt.vlm.base import TextEncoder

__all__ = ["PromptSetScore", "Trial", "PromptTrials"]

_MOST_TEXT = 20_000
_MOST_PROMPTS = 2_000


@dataclass(frozen=True, eq=False)
class PromptSetScore:
    """A prompt set on the images.

    Attributes:
        name: Name of the set.
        prompts: Number of its prompts.
        metrics: WAR, UAR and recalls, with intervals.
        geometry: Where its classes lie in the text space.
    """

    name: str
    prompts: int
    metrics: Metrics
    geometry: Geometry


@dataclass(frozen=True, eq=False)
class Trial:
    """Prompt sets on the same images, best UAR first.

    Attributes:
        classes: Classes that were scored.
        images: Number of images.
        labels: How the classes of the data were read, where they differ.
        scores: One for each set.
    """

    classes: tuple[str, ...]
    images: int
    labels: str
    scores: tuple[PromptSetScore, ...]


class PromptTrials:
    """Scores prompt sets for one model on one split.

    Args:
        model: Name or folder of a model with a text head.
        data: Loads the split; called once, when it is needed.
        title: What the split is called on the page.
        encoder: Gives the text encoder of the model.
        folder: A folder that is thrown away, for what is typed and its embeddings.
        device: Where images are embedded.
        cache_dir: Where image embeddings are kept; the cache folder unless given.
    """

    def __init__(
        self,
        model: str,
        data: Callable[[], FaceSplit],
        *,
        title: str,
        encoder: Callable[[], TextEncoder],
        folder: Path,
        device: str | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        self.title = title
        self._model, self._data, self._encoder = model, data, encoder
        self._folder, self._device, self._cache_dir = folder, device, cache_dir

    @property
    def names(self) -> list[str]:
        """Names of the shipped prompt sets."""
        return list(list_resources("prompts"))

    @cached_property
    def _images(self) -> ImageEmbeddings:
        model = get_image_encoder(f"run:{self._model}", cache_dir=self._cache_dir)
        return embed_split(model, self._data(), cache_dir=self._cache_dir, device=self._device)

    def run(self, names: Sequence[str], yaml: str = "", *, bootstrap: int = 1000) -> Trial:
        """Score shipped sets, and one that somebody wrote.

        Args:
            names: Names of shipped sets.
            yaml: A prompt set as YAML; blank for none.
            bootstrap: Resamples for the intervals.

        Raises:
            Ke2ntError: A set is not valid, the data cannot be read, or the two do not fit.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise PromptError("no such shipped prompt set", found=unknown[0])
        own = [self._typed(yaml)] if yaml.strip() else []
        sets = load_prompt_sets([*names, *own])
        encoder = self._encoder()
        workbench = build_workbench(
            self._images, sets, text_encoder=encoder, policy="drop", cache_dir=self._folder
        )
        hits = workbench.scorer.count_correct(
            np.stack([workbench.pool.mask_of_set(s) for s in workbench.pool.sets])
        )
        scores = [
            PromptSetScore(
                prompts.name,
                sum(len(prompts.render(name)) for name in workbench.pool.classes),
                compute_metrics(row, workbench.scorer.support, resamples=bootstrap),
                geometry(prompts, encoder, cache_dir=self._folder),
            )
            for prompts, row in zip(workbench.pool.sets, hits, strict=True)
        ]
        best_first = sorted(scores, key=lambda score: -score.metrics.uar)
        return Trial(
            workbench.pool.classes,
            len(workbench.names),
            workbench.mapping.describe(),
            tuple(best_first),
        )

    def _typed(self, text: str) -> PromptSet:
        if len(text) > _MOST_TEXT:
            raise PromptError("the prompt set is too long", expected=f"{_MOST_TEXT:,} characters")
        path = self._folder / "yours.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            own = PromptSet.load(path)
        except Ke2ntError as error:
            raise PromptError(str(error).replace(str(path), "your own set")) from None
        finally:
            path.unlink()
        count = sum(len(own.render(name)) for name in own.classes)
        if count > _MOST_PROMPTS:
            raise PromptError(
                "the prompt set has too many prompts",
                expected=f"at most {_MOST_PROMPTS:,} over all classes",
                found=f"{count:,}",
            )
        return own
