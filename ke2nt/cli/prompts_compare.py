"""`ke2nt prompts compare`."""

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
    print_written_files,
    write_results,
)

__all__ = ["compare"]


@with_option_groups
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A shipped set, or a YAML file.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another set or file.")],
    encoder: EncoderOptions,
    data: DatasetOptions,
    labels: LabelOptions,
    compute: EmbeddingOptions,
    statistics: StatisticsOptions,
    output: OutputOptions,
    out: OutFolderOption = None,
) -> None:
    """Compare two prompt sets on the same images, and test whether the difference may be due to
    chance.

    Example: ke2nt prompts compare simple ensemble --encoder run:runs/quickstart
    --dataset drawn --split test
    """
    from ke2nt.cli.prompt_tables import show_comparison
    from ke2nt.promptlab.comparison import compare as compare_prompts
    from ke2nt.promptlab.plots import plot_comparison
    from ke2nt.promptlab.workbench import load_prompt_sets

    experiment = PromptExperiment(encoder, data, labels, compute, statistics)
    one, two = load_prompt_sets([first, second])
    arguments = experiment.arguments()
    (embeddings,) = experiment.embed(data.split, quiet=output.hides_progress)
    result = compare_prompts(embeddings, one, two, **arguments)

    # settings go into the document, so that it can be reproduced
    facts = experiment.facts(
        embeddings, split=data.split, bootstrap=statistics.bootstrap, seed=statistics.seed
    )
    document = {**facts, **result.to_dict()}
    plots = {} if out is None else plot_comparison(result)
    written = write_results(out, "compare.json", document, plots)
    if output.json:
        print_json(document)
        return
    show_comparison(result)
    print_written_files(out, written)
