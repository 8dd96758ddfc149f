"""Search for a better prompt set: chosen on one split, judged on another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ke2nt.errors import DataError, PromptError
from ke2nt.promptlab.beam_search import Step, compute_sort_keys, select_ensemble
from ke2nt.promptlab.candidates import (
    build_candidate_blocks,
    build_selected_set,
    build_starting_points,
    combine_sets,
)
from ke2nt.promptlab.intervals import compute_difference, compute_metrics, count_paired_outcomes
from ke2nt.promptlab.mcnemar import mcnemar
from ke2nt.promptlab.options import SearchOptions
from ke2nt.promptlab.search_result import Contender, SearchResult
from ke2nt.promptlab.workbench import Workbench, build_workbench
from ke2nt.prompts.load_sets import load_prompt_sets
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.progress import count_progress
from ke2nt.runtime.provenance import package_versions

if TYPE_CHECKING:
    from ke2nt.evaluation.embed_split import ImageEmbeddings

__all__ = ["search"]

_NUM_STARTS = 3


def search(
    selection: ImageEmbeddings,
    final: ImageEmbeddings,
    prompts: Sequence[PromptSet | str | Path],
    options: SearchOptions | None = None,
    *,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    **fields: Any,
) -> SearchResult:
    """Search the prompts of some sets for the best ensemble.

    Args:
        selection: Image embeddings of the split to search with.
        final: Image embeddings of a split that takes no part in the search.
        prompts: Prompt sets, names of shipped ones, or YAML files.
        options: How to search; the defaults of `SearchOptions` unless given.
        name: Name of the new set; "<first set>_selected" unless given.
        settings: Stored with the result, such as {"dataset": "ferplus"}.
        **fields: Fields of `SearchOptions` to change, such as `beam=2`.

    Raises:
        DataError: The two splits contain the same images, or a number is out of range.
        PromptError: A set is learned.
        Ke2ntError: As for `build_workbench`.
    """
    options = replace(options or SearchOptions(), **fields)
    sets = load_prompt_sets(prompts)
    _refuse_learned(sets)
    name = name or f"{sets[0].name}_selected"
    sources = [prompt_set.name for prompt_set in sets]
    if options.share == "templates":
        sets = [combine_sets(sets, name, options.policy)]

    # Both splits are scored with the same prompts, in the same order.
    searched = build_workbench(selection, sets, options)
    untouched = build_workbench(final, sets, options)
    if searched.pool.rows != untouched.pool.rows:
        raise DataError(
            "the two splits have different classes",
            expected=", ".join(searched.pool.classes),
            found=", ".join(untouched.pool.classes),
        )
    notes = _check_overlap(searched.embeddings, untouched.embeddings)

    masks, steps = _choose_contenders(searched, options)
    classes = searched.pool.classes
    return SearchResult(
        prompts=build_selected_set(searched.pool, masks["selected"], options.share, name, sources),
        contenders=_judge_contenders(searched, untouched, masks, options),
        steps=tuple(steps),
        blocks=("templates",) if options.share == "templates" else classes,
        support={
            "selection": tuple(map(int, searched.scorer.support)),
            "final": tuple(map(int, untouched.scorer.support)),
        },
        notes=notes,
        settings={
            "encoder": selection.encoder,
            "text_encoder": selection.text_encoder,
            **(settings or {}),
            "sets": sources,
            "share": options.share,
            "beam": options.beam,
            "max_size": options.max_size,
            "objective": options.objective,
            "seed": options.seed,
            "labels": searched.label_facts,
            "versions": package_versions(),
        },
    )


def _refuse_learned(sets: Sequence[PromptSet]) -> None:
    """Refuse learned vectors: the new set would name them, but not hold them."""
    for prompt_set in sets:
        if prompt_set.learned is not None:
            raise PromptError(
                f"the set {prompt_set.name!r} is learned, and only written prompts are searched",
                hint="Compare both instead: ke2nt prompts compare.",
            )


def _choose_contenders(
    workbench: Workbench, options: SearchOptions
) -> tuple[dict[str, np.ndarray], list[Step]]:
    """Masks of all contenders by name, and the steps to the selected one."""
    blocks = build_candidate_blocks(workbench.pool, options.share)
    starts = build_starting_points(workbench.pool, options.share)

    # The best single prompts are one more start for the ensemble, which can only improve on them.
    single, _ = _search_from_starts(workbench, blocks, starts, replace(options, max_size=1))
    starts = np.vstack([starts, single])
    selected, steps = _search_from_starts(workbench, blocks, starts, options)

    full = np.any(np.concatenate(blocks), axis=0)
    return {"selected": selected, "single best": single, "full ensemble": full}, steps


def _search_from_starts(
    workbench: Workbench, blocks: list[np.ndarray], starts: np.ndarray, options: SearchOptions
) -> tuple[np.ndarray, list[Step]]:
    """Return the best result of searches from everything and from the best starts (S, P).

    Only starts that keep to the maximum size are used. On the selection split, the result is at
    least as good as every such start.
    """
    scorer, objective = workbench.scorer, options.objective

    # (blocks, S) prompts of each block's class in each start
    prompt_classes = workbench.pool.prompt_classes
    sizes = np.stack([starts[:, prompt_classes == k].sum(axis=1) for k in range(len(blocks))])
    small = starts[(sizes <= options.max_size).all(axis=0)]
    keys = compute_sort_keys(scorer, small, objective)
    best_first = sorted(range(len(small)), key=lambda i: keys[i], reverse=True)

    # From everything, and from the best starts.
    with count_progress("searching prompts, blocks", quiet=options.quiet) as after_block:
        results = [
            select_ensemble(
                scorer,
                blocks,
                beam=options.beam,
                max_size=options.max_size,
                objective=objective,
                seed=options.seed,
                start=start,
                after_block=after_block,
            )
            for start in (None, *small[best_first[:_NUM_STARTS]])
        ]
    keys = compute_sort_keys(scorer, np.stack([mask for mask, _ in results]), objective)
    return results[max(range(len(results)), key=lambda i: keys[i])]


def _judge_contenders(
    searched: Workbench,
    untouched: Workbench,
    masks: dict[str, np.ndarray],
    options: SearchOptions,
) -> tuple[Contender, ...]:
    """Compute the metrics of all contenders, and compare each with the first, the selected one."""
    # (contenders, P)
    stacked = np.stack(list(masks.values()))
    scorer = untouched.scorer
    right = scorer.predict(stacked) == scorer.labels
    correct_searched = searched.scorer.count_correct(stacked)
    correct_untouched = scorer.count_correct(stacked)

    # The selected ensemble, the first, is compared with each of the others.
    resampling: dict[str, Any] = {"resamples": options.bootstrap, "seed": options.seed}
    contenders = []
    for i, name in enumerate(masks):
        table = count_paired_outcomes(right[i], right[0], scorer.labels, scorer.num_classes)
        only_this, only_selected = (int(n) for n in table[:, 1:3].sum(axis=0))
        selected = i == 0
        contenders.append(
            Contender(
                name=name,
                prompts=searched.pool.select_texts(stacked[i]),
                selection=compute_metrics(
                    correct_searched[i], searched.scorer.support, **resampling
                ),
                final=compute_metrics(correct_untouched[i], scorer.support, **resampling),
                gain=None if selected else compute_difference(table, **resampling),
                test=None if selected else mcnemar(only_this, only_selected),
            )
        )
    return tuple(contenders)


def _check_overlap(selection: np.ndarray, final: np.ndarray) -> tuple[str, ...]:
    """Return a note if both splits contain some of the same images.

    Raises:
        DataError: All images of the final split are in the selection split.
    """
    # Equal embeddings mean equal images.
    selected_rows = {row.tobytes() for row in selection}
    shared = sum(row.tobytes() in selected_rows for row in final)
    if shared == len(final):
        raise DataError(
            "every image of the final split is also in the selection split",
            hint="Name another split for the final score.",
        )
    if not shared:
        return ()
    return (f"{shared} of {len(final)} images of the final split are in the selection split too.",)
