"""What every set, template, word and description is worth, alone and within its ensemble."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ke2nt.promptlab.intervals import (
    Metrics,
    compute_difference,
    compute_metrics,
    count_paired_outcomes,
)
from ke2nt.promptlab.options import LabOptions
from ke2nt.promptlab.units import Kind, Unit, generate_units
from ke2nt.promptlab.workbench import Workbench, build_workbench
from ke2nt.prompts.load_sets import load_prompt_sets
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.progress import track
from ke2nt.runtime.renamed import warn_renamed

if TYPE_CHECKING:
    from ke2nt.evaluation.embed_split import ImageEmbeddings

__all__ = ["Entry", "Ranking", "rank", "rank_units"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a unit is worth.

    Attributes:
        kind, prompt_set, text, class_name: As in `Unit`.
        prompts: Number of prompts in the ensemble `alone`.
        metrics: Metrics of the ensemble `alone`.
        marginal: What the whole ensemble gains by these words (whole − without), with paired
            intervals; None if the words cannot be removed.
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
        """Return a plain JSON value."""
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
    """What all words are worth.

    Attributes:
        classes: Class names, in index order.
        support: Images of each class.
        entries: One for each unit, best UAR first; words and descriptions are grouped by class.
        labels: How the classes of the data were mapped.
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
        """Return the best entries of the given kinds: at most `most`, or `most` of each class.

        The only words of a class are left out: they are worth as much as their set.
        """
        best: list[Entry] = []
        counts: Counter[str | None] = Counter()
        for entry in self.entries_of_kind(*kinds):
            # Words that cannot be removed are all that their class has.
            if entry.class_name and entry.marginal is None:
                continue
            counts[entry.class_name] += 1
            if counts[entry.class_name] <= most:
                best.append(entry)
        return best

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
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
    options: LabOptions | None = None,
    **fields: Any,
) -> Ranking:
    """Judge every set, template, class word and description on a split.

    Args:
        images: A split's image embeddings, from `ke2nt.evaluation.embed_split.embed_split`.
        prompts: Prompt sets, names of shipped ones, or YAML files.
        options: How to read labels and prompts; the defaults of `LabOptions` unless given.
        **fields: Fields of `LabOptions` to change, such as `bootstrap=0`.

    Raises:
        Ke2ntError: As for `build_workbench`.

    Example:
        >>> rank(images, ["simple", "ensemble"]).entries_of_kind("template")[0].text
    """
    options = replace(options or LabOptions(), **fields)
    workbench = build_workbench(images, load_prompt_sets(prompts), options)
    return rank_units(
        workbench, bootstrap=options.bootstrap, seed=options.seed, quiet=options.quiet
    )


def rank_units(
    workbench: Workbench, *, bootstrap: int = 1000, seed: int = 0, quiet: bool = True
) -> Ranking:
    """Rank as `rank` does, on a workbench."""
    scorer = workbench.scorer
    # (units, K) correct predictions of each unit alone
    units = list(generate_units(workbench.pool))
    correct = scorer.count_correct(np.stack([unit.alone for unit in units]), quiet=quiet)
    marginals = _compute_marginals(workbench, units, bootstrap, seed, quiet)

    entries = [
        Entry(
            kind=unit.kind,
            prompt_set=unit.prompt_set,
            text=unit.text,
            class_name=unit.class_name,
            prompts=int(unit.alone.sum()),
            metrics=compute_metrics(row, scorer.support, resamples=bootstrap, seed=seed),
            marginal=marginal,
        )
        for unit, row, marginal in zip(units, correct, marginals, strict=True)
    ]

    # Units of all classes first, then class by class; the best first in each.
    class_order = {name: k for k, name in enumerate(workbench.pool.classes)}
    entries.sort(
        key=lambda entry: (
            class_order.get(entry.class_name or "", -1),
            -entry.metrics.uar,
            -entry.metrics.accuracy,
        )
    )
    return Ranking(
        classes=workbench.pool.classes,
        support=tuple(map(int, scorer.support)),
        entries=tuple(entries),
        labels=workbench.label_facts,
    )


def _compute_marginals(
    workbench: Workbench, units: Sequence[Unit], bootstrap: int, seed: int, quiet: bool
) -> list[Metrics | None]:
    """What each unit adds to its whole ensemble, None for a unit that cannot be removed."""
    scorer, num_classes = workbench.scorer, len(workbench.pool.classes)

    # The masks without and with each unit in turn are predicted in one call.
    masks: list[np.ndarray] = []
    for unit in units:
        if unit.without is not None:
            masks += [unit.without, unit.whole]
    stacked = np.array(masks).reshape(-1, scorer.num_prompts)
    predicted = scorer.predict(stacked, quiet=quiet)
    pairs = iter(predicted == scorer.labels)

    marginals: list[Metrics | None] = []
    for unit in track(units, "comparing ensembles", quiet=quiet):
        if unit.without is None:
            marginals.append(None)
            continue
        without, whole = next(pairs), next(pairs)
        table = count_paired_outcomes(without, whole, scorer.labels, num_classes)
        marginals.append(compute_difference(table, resamples=bootstrap, seed=seed))
    return marginals
