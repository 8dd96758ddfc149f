"""Prompt sets scored on a dataset whose images are embedded once."""

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
from ke2nt.promptlab.workbench import Workbench, build_workbench
from ke2nt.prompts.load_sets import load_prompt_sets
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.prompts.reader import read_yaml
from ke2nt.resources import list_resources
from ke2nt.vlm.base import TextEncoder

__all__ = ["PromptSetScore", "PromptTrials", "Trial"]

_MAX_TEXT = 20_000  # characters
_MAX_PROMPTS = 2_000


@dataclass(frozen=True, eq=False)
class PromptSetScore:
    """Score of a prompt set on the images.

    Attributes:
        name: Name of the set.
        prompts: Number of its prompts.
        metrics: WAR, UAR and recalls, with intervals.
        geometry: Similarity of its classes in the text space.
    """

    name: str
    prompts: int
    metrics: Metrics
    geometry: Geometry


@dataclass(frozen=True, eq=False)
class Trial:
    """Prompt sets on the same images, best UAR first.

    Attributes:
        classes: The scored classes.
        images: Number of images.
        labels: How the classes of the data were mapped, if they differ.
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
        data: Loads the split; called once, at first use.
        title: Name of the split on the page.
        encoder: Returns the text encoder of the model.
        folder: A temporary folder for typed texts and their embeddings.
        device: Where to embed images.
        cache_dir: Where image embeddings are cached; by default the cache folder.
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
        self._model, self._load_data, self._get_encoder = model, data, encoder
        self._folder, self._device, self._cache_dir = folder, device, cache_dir

    @property
    def names(self) -> list[str]:
        """Names of the shipped prompt sets."""
        return list(list_resources("prompts"))

    @cached_property
    def _images(self) -> ImageEmbeddings:
        encoder = get_image_encoder(f"run:{self._model}", cache_dir=self._cache_dir)
        return embed_split(
            encoder, self._load_data(), cache_dir=self._cache_dir, device=self._device
        )

    def run(self, names: Sequence[str], yaml: str = "", *, bootstrap: int = 1000) -> Trial:
        """Score shipped prompt sets, and a custom one.

        Args:
            names: Names of shipped sets.
            yaml: A prompt set as YAML; blank for none.
            bootstrap: Resamples for the intervals.

        Raises:
            Ke2ntError: A set is not valid, the data cannot be read, or they do not fit together.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise PromptError("no such shipped prompt set", found=unknown[0])

        # classes that only one side has are not scored
        custom = [self._parse_yaml(yaml)] if yaml.strip() else []
        workbench = build_workbench(
            self._images,
            load_prompt_sets([*names, *custom]),
            text_encoder=self._get_encoder(),
            policy="drop",
            cache_dir=self._folder,
        )
        scores = self._score(workbench, bootstrap)
        return Trial(
            workbench.pool.classes,
            len(workbench.names),
            workbench.mapping.describe(),
            tuple(sorted(scores, key=lambda score: -score.metrics.uar)),
        )

    def _score(self, workbench: Workbench, bootstrap: int) -> list[PromptSetScore]:
        # (sets, K) number of correct images of each class, with all prompts of a set
        pool, scorer = workbench.pool, workbench.scorer
        correct = scorer.count_correct(
            np.stack([pool.mask_of_set(prompts) for prompts in pool.sets])
        )

        scores = []
        for prompts, set_correct in zip(pool.sets, correct, strict=True):
            score = PromptSetScore(
                name=prompts.name,
                prompts=sum(len(prompts.render(name)) for name in pool.classes),
                metrics=compute_metrics(set_correct, scorer.support, resamples=bootstrap),
                geometry=geometry(prompts, self._get_encoder(), cache_dir=self._folder),
            )
            scores.append(score)
        return scores

    def _parse_yaml(self, text: str) -> PromptSet:
        if len(text) > _MAX_TEXT:
            raise PromptError("the prompt set is too long", expected=f"{_MAX_TEXT:,} characters")

        # prompt sets are read from files; the message must not name this temporary one
        path = self._folder / "custom.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            if read_yaml(path).get("learned") is not None:
                raise PromptError(
                    "a learned prompt set cannot be pasted: its vectors are in a file of their own",
                    hint="Compare it with `ke2nt prompts rank --prompts FILE.yaml,paper`.",
                )
            prompts = PromptSet.load(path)
        except Ke2ntError as error:
            raise PromptError(str(error).replace(str(path), "the custom set")) from None
        finally:
            path.unlink()

        num_prompts = sum(len(prompts.render(name)) for name in prompts.classes)
        if num_prompts > _MAX_PROMPTS:
            raise PromptError(
                "the prompt set has too many prompts",
                expected=f"at most {_MAX_PROMPTS:,} over all classes",
                found=f"{num_prompts:,}",
            )
        return prompts
