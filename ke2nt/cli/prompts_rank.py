"""`ke2nt prompts rank`."""

from __future__ import annotations

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
from ke2nt.cli.output import print_json
from ke2nt.cli.prompt_experiments import (
    OutFolderOption,
    PromptExperiment,
    PromptSetsOption,
    load_prompt_sets,
    print_written_files,
    write_results,
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
    from ke2nt.cli.prompt_tables import show_ranking
    from ke2nt.promptlab.plots import plot_ranking
    from ke2nt.promptlab.ranking import rank as rank_prompts

    experiment = PromptExperiment(encoder, data, labels, compute, statistics)
    sets = load_prompt_sets(prompts)
    arguments = experiment.arguments()
    (embeddings,) = experiment.embed(data.split, quiet=output.hides_progress)
    ranking = rank_prompts(embeddings, sets, **arguments)

    # settings go into the document, so that it can be reproduced
    facts = experiment.facts(
        embeddings, split=data.split, bootstrap=statistics.bootstrap, seed=statistics.seed
    )
    document = {**facts, **ranking.to_dict()}
    plots = {} if out is None else plot_ranking(ranking)
    written = write_results(out, "rank.json", document, plots)
    if output.json:
        print_json(document)
        return
    show_ranking(ranking, top)
    print_written_files(out, written)
