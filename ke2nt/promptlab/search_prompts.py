"""A better prompt set: chosen on one split, judged on another that the choice never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ke2nt.errors import DataError
from ke2nt.labels import LabelPolicy
from ke2nt.promptlab.beam_search import Objective, Step, score_keys, select
from ke2nt.promptlab.candidates import Share, candidate_blocks, cross_sets, new_set, starting_points
from ke2nt.promptlab.intervals import compute_difference, compute_metrics, count_paired_outcomes
from ke2nt.promptlab.mcnemar import mcnemar
from ke2nt.promptlab.search_result import Contender, Search
from ke2nt.promptlab.workbench import Workbench, build_workbench, load_prompt_sets
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.provenance import package_versions

if TYPE_CHECKING:
    from ke2nt.evaluation.embed_split import ImageEmbeddings
    from ke2nt.vlm.base import TextEncoder

__all__ = ["search"]

_STARTS = 3


def search(
    selection: ImageEmbeddings,
    final: ImageEmbeddings,
    prompts: Sequence[PromptSet | str | Path],
    *,
    share: Share = "nothing",
    beam: int = 1,
    max_size: int = 8,
    objective: Objective = "uar",
    name: str | None = None,
    text_encoder: TextEncoder | str | None = None,
    policy: LabelPolicy = "strict",
    merge: Mapping[str, str] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Search:
    """Search the prompts of some sets for the best ensemble.

    Args:
        selection: Image embeddings of the split to search with.
        final: Image embeddings of a split that takes no part in the search.
        prompts: Prompt sets, names of shipped ones, or YAML files.
        share: "nothing" chooses an ensemble for each class among all prompts of the sets;
            "templates" chooses templates for all classes, filled with all words of the sets.
        beam: As in `select`, as are max_size and objective; 1 is greedy.
        name: Name of the new set; "<first set>_selected" unless given.
        text_encoder: As in `build_workbench`, as are policy, merge and cache_dir.
        bootstrap: Resamples for the intervals; 0 for none.
        seed: Seed of the search and of the resamples.
        settings: Carried into the result, such as {"dataset": "ferplus"}.

    Raises:
        DataError: The two splits hold the same images, or a number is out of range.
        Ke2ntError: As for `build_workbench`.
    """
    sets = load_prompt_sets(prompts)
    name = name or f"{sets[0].name}_selected"
    sources = [prompt_set.name for prompt_set in sets]
    if share == "templates":
        sets = [cross_sets(sets, name, policy)]
    here, there = (
        build_workbench(
            images,
            sets,
            text_encoder=text_encoder,
            policy=policy,
            merge=merge,
            cache_dir=cache_dir,
        )
        for images in (selection, final)
    )
    if here.pool.rows != there.pool.rows:
        raise DataError(
            "the two splits have different classes",
            expected=", ".join(here.pool.classes),
            found=", ".join(there.pool.classes),
        )
    notes = _overlap(here.embeddings, there.embeddings)
    masks, steps = _contend(
        here,
        candidate_blocks(here.pool, share),
        starting_points(here.pool, share),
        max_size,
        {"beam": beam, "objective": objective, "seed": seed},
    )
    facts = {
        "encoder": selection.encoder,
        "text_encoder": selection.text_encoder,
        **(settings or {}),
        "sets": sources,
        "share": share,
        "beam": beam,
        "max_size": max_size,
        "objective": objective,
        "seed": seed,
        "labels": here.label_facts,
        "versions": package_versions(),
    }
    return Search(
        prompts=new_set(here.pool, masks["selected"], share, name, sources),
        contenders=_judge(here, there, masks, bootstrap, seed),
        steps=tuple(steps),
        blocks=("templates",) if share == "templates" else here.pool.classes,
        support={
            "selection": tuple(map(int, here.scorer.support)),
            "final": tuple(map(int, there.scorer.support)),
        },
        notes=notes,
        settings=facts,
    )


def _contend(
    workbench: Workbench,
    blocks: list[np.ndarray],
    starts: np.ndarray,
    max_size: int,
    options: dict[str, Any],
) -> tuple[dict[str, np.ndarray], list[Step]]:
    """The masks of all contenders, and the steps to the selected one."""
    single, _ = _best(workbench, blocks, starts, 1, options)
    chosen, steps = _best(workbench, blocks, np.vstack([starts, single]), max_size, options)
    full = np.any(np.concatenate(blocks), axis=0)
    return {"selected": chosen, "single best": single, "full ensemble": full}, steps


def _best(
    workbench: Workbench,
    blocks: list[np.ndarray],
    starts: np.ndarray,
    max_size: int,
    options: dict[str, Any],
) -> tuple[np.ndarray, list[Step]]:
    """The best end of searches from everything and from the best starts that keep to the size.

    So on the selection split the end is at least as good as every such start.
    """
    sizes = np.stack(
        [starts[:, workbench.pool.owners == k].sum(axis=1) for k in range(len(blocks))]
    )
    fit = starts[(sizes <= max_size).all(axis=0)]
    keys = score_keys(workbench.scorer, fit, options["objective"])
    order = sorted(range(len(fit)), key=lambda i: keys[i], reverse=True)[:_STARTS]
    ends = [
        select(workbench.scorer, blocks, start=start, max_size=max_size, **options)
        for start in (None, *fit[order])
    ]
    scored = score_keys(
        workbench.scorer, np.stack([mask for mask, _ in ends]), options["objective"]
    )
    return ends[max(range(len(ends)), key=lambda i: scored[i])]


def _judge(
    here: Workbench, there: Workbench, masks: dict[str, np.ndarray], bootstrap: int, seed: int
) -> tuple[Contender, ...]:
    stacked = np.stack(list(masks.values()))
    seen = here.scorer.hits(stacked)
    right = there.scorer.predict(stacked) == there.scorer.labels
    unseen = there.scorer.hits(stacked)
    options: dict[str, Any] = {"resamples": bootstrap, "seed": seed}
    contenders = []
    for i, name in enumerate(masks):
        table = count_paired_outcomes(
            right[i], right[0], there.scorer.labels, len(here.pool.classes)
        )
        contenders.append(
            Contender(
                name=name,
                prompts=here.pool.chosen(stacked[i]),
                selection=compute_metrics(seen[i], here.scorer.support, **options),
                final=compute_metrics(unseen[i], there.scorer.support, **options),
                gain=compute_difference(table, **options) if i else None,
                test=mcnemar(*(int(n) for n in table[:, 1:3].sum(axis=0))) if i else None,
            )
        )
    return tuple(contenders)


def _overlap(selection: np.ndarray, final: np.ndarray) -> tuple[str, ...]:
    """A note on images that both splits hold.

    Raises:
        DataError: All images of the final split are in the selection split.
    """
    known = {row.tobytes() for row in selection}
    shared = sum(row.tobytes() in known for row in final)
    if shared == len(final):
        raise DataError(
            "the final split holds no image that the search has not seen",
            hint="Name another split for the final score.",
        )
    if not shared:
        return ()
    return (f"{shared} of {len(final)} images of the final split are in the selection split too.",)
