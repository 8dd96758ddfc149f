"""`ke2nt prompts search`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import check_writable
from ke2nt.cli.options import (
    DatasetOptions,
    EmbeddingOptions,
    EncoderOptions,
    LabelOptions,
    OutputOptions,
    StatisticsOptions,
)
from ke2nt.cli.paper_options import PaperOptions
from ke2nt.cli.prompt_experiments import (
    Findings,
    PromptExperiment,
    PromptSetsOption,
    split_names,
)
from ke2nt.errors import ConfigError

__all__ = ["search"]


class _Share(StrEnum):
    nothing = "nothing"
    templates = "templates"


class _Objective(StrEnum):
    uar = "uar"
    accuracy = "accuracy"


@dataclass(frozen=True)
class _SearchData(DatasetOptions):
    split: Annotated[str, typer.Option("--split", help="Split to search with, such as val.")]


@dataclass(frozen=True)
class _SearchOptions:
    """How prompts are chosen."""

    share: Annotated[
        _Share,
        typer.Option(
            "--share", help="nothing: an ensemble for each class; templates: the same for all."
        ),
    ] = _Share.nothing
    beam: Annotated[
        int, typer.Option("--beam", min=1, help="Partial choices kept; 1 is greedy.")
    ] = 1
    max_prompts: Annotated[
        int,
        typer.Option(
            "--max-prompts", min=1, help="Maximum number of prompts per class, or templates."
        ),
    ] = 8
    objective: Annotated[
        _Objective, typer.Option("--objective", help="Metric to maximize: UAR or accuracy (WAR).")
    ] = _Objective.uar
    name: Annotated[str | None, typer.Option("--name", help="Name of the new set.")] = None


@with_option_groups
def search(
    encoder: EncoderOptions,
    prompts: PromptSetsOption,
    data: _SearchData,
    final_split: Annotated[
        str, typer.Option("--final-split", help="Untouched split for the final score.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            callback=check_writable,
            metavar="DIR",
            help="Folder for the new prompt set, JSON and plots.",
        ),
    ],
    options: _SearchOptions,
    labels: LabelOptions,
    compute: EmbeddingOptions,
    statistics: StatisticsOptions,
    output: OutputOptions,
    paper: PaperOptions,
) -> None:
    """Choose an ensemble on one split, score it on another, and write it as a prompt set.

    Example: ke2nt prompts search --encoder run:runs/quickstart --prompts ensemble,synonyms
    --dataset drawn --split val --final-split test --out words
    """
    if data.split == final_split:
        raise ConfigError(
            "--final-split must differ from --split",
            found=f"{data.split} for both",
            hint="Name another one with --final-split, such as test.",
        )
    experiment = PromptExperiment(encoder, data, labels, compute, statistics)
    names = split_names(prompts)
    experiment.check_names(names, final_split)

    from ke2nt.cli.prompt_tables import show_search
    from ke2nt.promptlab.plots import plot_search
    from ke2nt.promptlab.result_tables import search_tables
    from ke2nt.promptlab.search_prompts import search as search_prompts
    from ke2nt.prompts.load_sets import load_prompt_sets
    from ke2nt.runtime.atomic import write_text

    sets = load_prompt_sets(names)
    arguments = experiment.arguments()

    # both splits are embedded before the search, so that it cannot fail halfway
    selection, final = experiment.embed(data.split, final_split, quiet=output.hides_progress)

    # settings are stored in the new prompt set, so that it tells where it comes from
    facts = experiment.facts(
        selection, split=data.split, final_split=final_split, bootstrap=statistics.bootstrap
    )
    result = search_prompts(
        selection,
        final,
        sets,
        share=options.share.value,
        beam=options.beam,
        max_size=options.max_prompts,
        objective=options.objective.value,
        name=options.name,
        settings=facts,
        quiet=output.hides_progress,
        **arguments,
    )

    # the new set is a file like any other: it can be named in a configuration
    prompt_file = f"{result.prompts.name}.yaml"
    write_text(out / prompt_file, result.to_yaml())
    findings = Findings(
        "search.json",
        result.to_dict(),
        show=lambda: show_search(result, data.split, final_split),
        tables=lambda: search_tables(result),
        plot=partial(plot_search, result),
    )
    findings.report(out, paper, json=output.json, also=[prompt_file])
