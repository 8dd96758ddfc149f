"""`ke2nt prompts compare`."""

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
from ke2nt.cli.prompt_experiments import Findings, OutFolderOption, PromptExperiment

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
    paper: PaperOptions,
    out: OutFolderOption = None,
) -> None:
    """Compare two prompt sets on the same images, and test whether the difference may be due to
    chance.

    Example: ke2nt prompts compare simple ensemble --encoder run:runs/quickstart
    --dataset drawn --split test
    """
    experiment = PromptExperiment(encoder, data, labels, compute, statistics)
    experiment.check_names([first, second])

    from ke2nt.cli.prompt_tables import show_comparison
    from ke2nt.promptlab.comparison import compare as compare_prompts
    from ke2nt.promptlab.plots import plot_comparison
    from ke2nt.promptlab.result_tables import comparison_tables
    from ke2nt.prompts.load_sets import load_prompt_sets

    one, two = load_prompt_sets([first, second])
    result, document = experiment.run(compare_prompts, one, two, quiet=output.hides_progress)
    findings = Findings(
        "compare.json",
        document,
        show=lambda: show_comparison(result),
        tables=lambda: comparison_tables(result),
        plot=partial(plot_comparison, result),
    )
    findings.report(out, paper, json=output.json)
