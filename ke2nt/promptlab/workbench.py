"""Images and prompt sets brought together: one label set, one pool of prompts, one scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ke2nt.banks.distinct import check_distinct_classes
from ke2nt.banks.ensemble import average
from ke2nt.banks.prompt_embeddings import embed_prompts
from ke2nt.errors import DataError, MissingExtraError
from ke2nt.evaluation.embed_split import ImageEmbeddings, check_text_weights
from ke2nt.labels import (
    MERGE_HINT,
    POLICY_HINT,
    LabelMapping,
    LabelPolicy,
    check_same_labels,
    map_labels,
)
from ke2nt.promptlab.options import LabOptions
from ke2nt.promptlab.pool import PromptPool
from ke2nt.promptlab.scorer import PromptScorer
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.vlm.base import TextEncoder, WeightsUnavailableError
from ke2nt.vlm.catalog import as_text_encoder

__all__ = ["Workbench", "build_workbench", "find_common_classes"]


@dataclass(frozen=True, eq=False)
class Workbench:
    """What every experiment with prompts needs.

    Attributes:
        pool: The prompts of all sets, restricted to the classes that are scored.
        scorer: Scores ensembles of the pool's prompts on the images.
        names: N sample names.
        embeddings: (N, D) image embeddings that are scored.
        mapping: How the classes of the data were mapped to classes of the sets.
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
        """How the classes of the data were mapped, as plain JSON."""
        return {
            "summary": self.mapping.describe(),
            "merged": dict(self.mapping.merged),
            "dropped": dict(self.dropped),
        }


def build_workbench(
    images: ImageEmbeddings,
    sets: Sequence[PromptSet],
    options: LabOptions | None = None,
    **fields: Any,
) -> Workbench:
    """Map the labels of the data to the classes of the sets, and embed the prompts.

    Args:
        images: A split's image embeddings.
        sets: Prompt sets.
        options: Text encoder, label policy and cache; the defaults of `LabOptions` unless given.
        **fields: Fields of `LabOptions` to change, such as `policy="drop"`.

    Raises:
        LabelError: The label sets do not fit under the policy.
        DataError: No image is left.
        ModelError: The text encoder is not the one that shares the images' space.
        PromptError, TextEncoderError, MissingExtraError, CacheError: As for `embed_prompts`.
    """
    options = replace(options or LabOptions(), **fields)

    # Classes that are scored: those of the sets, under "drop" without those the data lacks.
    classes = find_common_classes(sets, options.policy)
    mapping = map_labels(images.classes, classes, policy=options.policy, merge=options.merge)
    if options.policy == "drop":
        classes = tuple(name for name in classes if name not in mapping.unused)
    labels = _map_image_labels(images, mapping, classes)
    kept = labels >= 0
    if not kept.any():
        raise DataError(
            "no image is left after classes were dropped",
            found=list(mapping.dropped),
            hint=MERGE_HINT,
        )

    pool = PromptPool(tuple(prompt_set.with_classes(classes) for prompt_set in sets))
    text = _embed_pool(pool, images, options)
    embeddings = np.asarray(images.embeddings)[kept]
    counts = np.bincount(images.labels, minlength=len(mapping.source))

    return Workbench(
        pool=pool,
        scorer=PromptScorer(embeddings, labels[kept], text, pool.prompt_classes, len(classes)),
        names=tuple(name for name, keep in zip(images.names, kept, strict=True) if keep),
        embeddings=embeddings,
        mapping=mapping,
        dropped={name: int(counts[mapping.source.index(name)]) for name in mapping.dropped},
    )


def find_common_classes(sets: Sequence[PromptSet], policy: LabelPolicy) -> tuple[str, ...]:
    """Return the classes of the first set; under "drop", those that every set has.

    Raises:
        LabelError: The classes of the sets differ under another policy.
    """
    classes = sets[0].class_names
    if policy == "drop":
        return tuple(c for c in classes if all(c in other.class_names for other in sets))

    # The order of the classes may differ between sets.
    for other in sets[1:]:
        check_same_labels(
            sorted(classes), sorted(other.class_names), where=other.name, hint=POLICY_HINT
        )
    return classes


def _map_image_labels(
    images: ImageEmbeddings, mapping: LabelMapping, classes: Sequence[str]
) -> np.ndarray:
    """(N,) indices in `classes`; −1 for images of a class that is dropped."""
    targets = [-1 if i is None else classes.index(mapping.target[i]) for i in mapping.index]
    labels: np.ndarray = np.array(targets)[images.labels]
    return labels


def _embed_pool(pool: PromptPool, images: ImageEmbeddings, options: LabOptions) -> np.ndarray:
    """(P, D) embeddings of the pool's prompts, in the images' space."""
    requested = images.text_encoder if options.text_encoder is None else options.text_encoder
    encoder = as_text_encoder(requested, cache_dir=options.cache_dir)

    # An encoder of other weights has another space, even if its name is the same.
    check_text_weights(images, encoder.id, _find_weights_digest(encoder))
    embeddings = embed_prompts(pool.texts, encoder, options.cache_dir)

    # a set whose classes look the same has no meaningful score
    for prompt_set in pool.sets:
        rows = [
            torch.from_numpy(pool.mask({name: prompt_set.render(name)})) for name in pool.classes
        ]
        vectors = torch.stack([average(embeddings[row])[1] for row in rows])
        check_distinct_classes(pool.classes, vectors, encoder=encoder.id)
    return embeddings.numpy()


def _find_weights_digest(encoder: TextEncoder) -> str | None:
    """Digest of an encoder's weights; None if they are not here, as with cached embeddings."""
    try:
        return encoder.fingerprint().weights
    except (WeightsUnavailableError, MissingExtraError):
        return None
