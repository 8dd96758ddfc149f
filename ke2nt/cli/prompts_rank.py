"""`ke2nt prompts rank`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from ke2nt.cli.option_groups import with_option_groups
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
    OutFolderOption,
    PromptExperiment,
    PromptSetsOption,
    split_names,
)

__all__ = ["rank"]


@with_option_groups
def rank(
    encoder: EncoderOptions,
    prompts: PromptSetsOption,
    data: DatasetOptions,
    labels: LabelOptions,
    compute: EmbeddingOptions,
    statistics: StatisticsOptions,
    output: OutputOptions,
    paper: PaperOptions,
    top: Annotated[
        int,
        typer.Option(
            "--top", min=1, help="Maximum number of rows of a table, or of a class in it."
        ),
    ] = 10,
    out: OutFolderOption = None,
) -> None:
    """Score every set, template and class word: alone, and what it adds to its ensemble.

    Example: ke2nt prompts rank --encoder run:runs/quickstart --prompts simple,ensemble
    --dataset drawn --split val --out words
    """
    experiment = PromptExperiment(encoder, data, labels, compute, statistics)
    names = split_names(prompts)
    experiment.check_names(names)

    from ke2nt.cli.prompt_tables import show_ranking
    from ke2nt.promptlab.plots import plot_ranking
    from ke2nt.promptlab.ranking import rank as rank_prompts
    from ke2nt.promptlab.result_tables import ranking_tables
    from ke2nt.prompts.load_sets import load_prompt_sets

    sets = load_prompt_sets(names)
    ranking, document = experiment.run(rank_prompts, sets, quiet=output.hides_progress)
    findings = Findings(
        "rank.json",
        document,
        show=lambda: show_ranking(ranking, top),
        tables=lambda: ranking_tables(ranking),
        plot=partial(plot_ranking, ranking),
    )
    findings.report(out, paper, json=output.json)
