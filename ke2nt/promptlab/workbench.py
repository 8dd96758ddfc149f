"""Images and prompt sets brought together: one label set, one pool of prompts, one scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ke2nt.banks.prompt_embeddings import embed_prompts
from ke2nt.errors import DataError, MissingExtraError, PromptError
from ke2nt.evaluation.embed_split import ImageEmbeddings, check_text_weights
from ke2nt.labels import LabelMapping, LabelPolicy, check_same_labels, map_labels
from ke2nt.promptlab.pool import PromptPool
from ke2nt.promptlab.scorer import PromptScorer
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.vlm.base import TextEncoder, WeightsUnavailableError
from ke2nt.vlm.catalog import as_text_encoder

__all__ = ["Workbench", "common_classes", "load_prompt_sets", "build_workbench"]


@dataclass(frozen=True, eq=False)
class Workbench:
    """What every experiment about words needs.

    Attributes:
        pool: The prompts of all sets, restricted to the classes that are scored.
        scorer: Scores masks over the pool on the images.
        names: N sample names.
        embeddings: (N, D) image embeddings that are scored.
        mapping: How the classes of the data were read as classes of the sets.
        dropped: Class of the data → number of its images that were left out.
    """

    pool: PromptPool
    scorer: PromptScorer
    names: tuple[str, ...]
    embeddings: np.ndarray
    mapping: LabelMapping
    dropped: Mapping[str, int]

    @property
    def label_facts(self) -> dict[str, object]:
        """What became of the classes of the data, as plain JSON."""
        return {
            "summary": self.mapping.describe(),
            "merged": dict(self.mapping.merged),
            "dropped": dict(self.dropped),
        }


def load_prompt_sets(prompts: Sequence[PromptSet | str | Path]) -> list[PromptSet]:
    """Prompt sets by name or file, each under its own name.

    Raises:
        PromptError: There are none, one is not valid, or two have the same name.
    """
    if isinstance(prompts, str | Path | PromptSet):
        prompts = [prompts]
    sets = [p if isinstance(p, PromptSet) else PromptSet.load(p) for p in prompts]
    names = [prompt_set.name for prompt_set in sets]
    if not sets:
        raise PromptError("no prompt set given")
    if len(set(names)) < len(names):
        raise PromptError("two prompt sets have the same name", found=", ".join(names))
    return sets


def build_workbench(
    images: ImageEmbeddings,
    sets: Sequence[PromptSet],
    *,
    text_encoder: TextEncoder | str | None = None,
    policy: LabelPolicy = "strict",
    merge: Mapping[str, str] | None = None,
    cache_dir: str | Path | None = None,
) -> Workbench:
    """Read the labels of the data in the classes of the sets, and embed the prompts.

    Args:
        images: A split's image embeddings.
        sets: Prompt sets.
        text_encoder: Encoder of the prompts; the one that belongs to the images unless given.
        policy: Classes that only one side has: "strict" refuses them; "drop" scores the classes
            that the data and all sets share; "keep" leaves the sets' other classes as answers.
        merge: Class of the data → class of the sets to read it as.
        cache_dir: Cache folder of the prompts' embeddings.

    Raises:
        LabelError: The label sets do not fit under the policy.
        DataError: No image is left.
        ModelError: The text encoder is not the one that shares the images' space.
        PromptError, TextEncoderError, MissingExtraError, CacheError: As for `embed_prompts`.
    """
    classes = common_classes(sets, policy)
    mapping = map_labels(images.classes, classes, policy=policy, merge=merge)
    if policy == "drop":
        classes = tuple(name for name in classes if name not in mapping.unused)
    target = np.array(
        [-1 if i is None else classes.index(mapping.target[i]) for i in mapping.index]
    )[images.labels]
    kept = target >= 0
    if not kept.any():
        raise DataError("no image is left after classes were dropped", found=list(mapping.dropped))
    counts = np.bincount(images.labels, minlength=len(mapping.source))
    pool = PromptPool(tuple(prompt_set.with_classes(classes) for prompt_set in sets))
    encoder = images.text_encoder if text_encoder is None else text_encoder
    model = as_text_encoder(encoder, cache_dir=cache_dir)
    check_text_weights(images, model.id, _weights(model))
    text = embed_prompts(pool.texts, model, cache_dir).numpy()
    embeddings = np.asarray(images.embeddings)[kept]
    return Workbench(
        pool=pool,
        scorer=PromptScorer(embeddings, target[kept], text, pool.owners, len(classes)),
        names=tuple(name for name, yes in zip(images.names, kept, strict=True) if yes),
        embeddings=embeddings,
        mapping=mapping,
        dropped={name: int(counts[mapping.source.index(name)]) for name in mapping.dropped},
    )


def common_classes(sets: Sequence[PromptSet], policy: LabelPolicy) -> tuple[str, ...]:
    """Classes of the first set; under "drop", those that every set has.

    Raises:
        LabelError: The classes of the sets differ under another policy.
    """
    classes = sets[0].class_names
    if policy == "drop":
        return tuple(c for c in classes if all(c in other.class_names for other in sets))
    for other in sets[1:]:
        check_same_labels(sorted(classes), sorted(other.class_names), where=other.name)
    return classes


def _weights(model: TextEncoder) -> str | None:
    try:
        return model.fingerprint().weights
    except (WeightsUnavailableError, MissingExtraError):  # the cache goes by the encoder's name
        return None
