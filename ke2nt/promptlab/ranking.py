"""What every set, template, word and description is worth, alone and within its ensemble."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ke2nt.labels import LabelPolicy
from ke2nt.promptlab.intervals import (
    Metrics,
    compute_difference,
    compute_metrics,
    count_paired_outcomes,
)
from ke2nt.promptlab.units import Kind, units
from ke2nt.promptlab.workbench import Workbench, build_workbench, load_prompt_sets
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.renamed import warn_renamed

if TYPE_CHECKING:
    from ke2nt.evaluation.embed_split import ImageEmbeddings
    from ke2nt.vlm.base import TextEncoder

__all__ = ["Entry", "Ranking", "rank", "rank_units"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A unit's worth.

    Attributes:
        kind, prompt_set, text, class_name: As in `Unit`.
        prompts: Number of prompts in the ensemble `alone`.
        metrics: Figures of it.
        marginal: What the whole ensemble gains by these words (whole − without), with paired
            intervals; None where the whole cannot do without them.
    """

    kind: Kind
    prompt_set: str
    text: str
    class_name: str | None
    prompts: int
    metrics: Metrics
    marginal: Metrics | None

    @property
    def figures(self) -> Metrics:
        """Deprecated name of `metrics`."""
        warn_renamed("attribute", "figures", "metrics")
        return self.metrics

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            "kind": self.kind,
            "set": self.prompt_set,
            "text": self.text,
            "class": self.class_name,
            "prompts": self.prompts,
            **self.metrics.to_dict(),
            "marginal": self.marginal and self.marginal.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Ranking:
    """Worth of all words; words and descriptions go class by class, best UAR first.

    Attributes:
        classes: Class names, in index order.
        support: Images of each class.
        entries: One for each unit.
        labels: What became of the classes of the data.
    """

    classes: tuple[str, ...]
    support: tuple[int, ...]
    entries: tuple[Entry, ...]
    labels: Mapping[str, Any]

    def entries_of_kind(self, *kinds: Kind) -> list[Entry]:
        """Return the entries of the given kinds, in order."""
        return [entry for entry in self.entries if entry.kind in kinds]

    def of(self, *kinds: Kind) -> list[Entry]:
        """Deprecated name of `entries_of_kind`."""
        warn_renamed("method", "of", "entries_of_kind")
        return self.entries_of_kind(*kinds)

    def best(self, most: int, *kinds: Kind) -> list[Entry]:
        """At most so many entries of some kinds, or of each class where they belong to one.

        Words that are all that a class has are left out: they say no more than their set.
        """
        kept: list[Entry] = []
        seen: Counter[str | None] = Counter()
        for entry in self.entries_of_kind(*kinds):
            if entry.class_name and entry.marginal is None:
                continue
            seen[entry.class_name] += 1
            if seen[entry.class_name] <= most:
                kept.append(entry)
        return kept

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            "n": sum(self.support),
            "classes": list(self.classes),
            "support": list(self.support),
            "labels": dict(self.labels),
            "entries": [entry.to_dict() for entry in self.entries],
        }


def rank(
    images: ImageEmbeddings,
    prompts: Sequence[PromptSet | str | Path],
    *,
    text_encoder: TextEncoder | str | None = None,
    policy: LabelPolicy = "strict",
    merge: Mapping[str, str] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    cache_dir: str | Path | None = None,
) -> Ranking:
    """Judge every set, template, class word and description on a split.

    Args:
        images: A split's image embeddings, from `ke2nt.evaluation.embed_split.embed_split`.
        prompts: Prompt sets, names of shipped ones, or YAML files.
        text_encoder: As in `build_workbench`, as are policy, merge and cache_dir.
        bootstrap: Resamples for the intervals; 0 for none.
        seed: Seed of the resamples.

    Raises:
        Ke2ntError: As for `build_workbench`.

    Example:
        >>> rank(images, ["simple", "ensemble"]).entries_of_kind("template")[0].text
    """
    workbench = build_workbench(
        images,
        load_prompt_sets(prompts),
        text_encoder=text_encoder,
        policy=policy,
        merge=merge,
        cache_dir=cache_dir,
    )
    return rank_units(workbench, bootstrap=bootstrap, seed=seed)


def rank_units(workbench: Workbench, *, bootstrap: int = 1000, seed: int = 0) -> Ranking:
    """As `rank`, on what `build_workbench` gives."""
    scorer, count = workbench.scorer, len(workbench.pool.classes)
    found = list(units(workbench.pool))
    hits = scorer.hits(np.stack([unit.alone for unit in found]))
    parts = [unit for unit in found if unit.without is not None]
    pairs = [mask for unit in parts for mask in (unit.without, unit.whole) if mask is not None]
    right = scorer.predict(np.array(pairs).reshape(-1, scorer.num_prompts)) == scorer.labels
    marginals = {
        id(unit): compute_difference(
            count_paired_outcomes(right[2 * i], right[2 * i + 1], scorer.labels, count),
            resamples=bootstrap,
            seed=seed,
        )
        for i, unit in enumerate(parts)
    }
    entries = [
        Entry(
            unit.kind,
            unit.prompt_set,
            unit.text,
            unit.class_name,
            int(unit.alone.sum()),
            compute_metrics(row, scorer.support, resamples=bootstrap, seed=seed),
            marginals.get(id(unit)),
        )
        for unit, row in zip(found, hits, strict=True)
    ]
    order = {name: k for k, name in enumerate(workbench.pool.classes)}
    entries.sort(
        key=lambda e: (order.get(e.class_name or "", -1), -e.metrics.uar, -e.metrics.accuracy)
    )
    return Ranking(
        workbench.pool.classes,
        tuple(map(int, scorer.support)),
        tuple(entries),
        workbench.label_facts,
    )
