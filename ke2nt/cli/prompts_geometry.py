"""`ke2nt prompts geometry`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from ke2nt.cli.names import check_encoder_name
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import read_names
from ke2nt.cli.options import CacheDirOption, JsonFlag
from ke2nt.cli.paper_options import PaperOptions
from ke2nt.cli.prompt_experiments import Findings, OutFolderOption

__all__ = ["geometry"]


@with_option_groups
def geometry(
    prompts: Annotated[str, typer.Argument(metavar="SET", help="A shipped set, or a YAML file.")],
    paper: PaperOptions,
    encoder: Annotated[
        str,
        typer.Option("--encoder", help="A text encoder; run:DIR for that of a trained model."),
    ] = "minilm",
    classes: Annotated[
        str | None, typer.Option(help="Only these classes, separated by commas, in this order.")
    ] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", help="Minimum cosine of near-duplicate prompts.")
    ] = 0.95,
    top: Annotated[
        int, typer.Option("--top", min=1, help="Maximum number of rows of a table.")
    ] = 20,
    cache_dir: CacheDirOption = None,
    out: OutFolderOption = None,
    json: JsonFlag = False,
) -> None:
    """Measure a prompt set by its text alone: similarity, separation, directions, duplicates."""
    from ke2nt.prompts.prompt_set import PromptSet
    from ke2nt.vlm.catalog import get_text_encoder

    # names are checked before torch is imported
    PromptSet.load(prompts)
    if encoder.startswith("run:"):
        check_encoder_name(encoder)
    else:
        get_text_encoder(encoder, cache_dir=cache_dir)

    from ke2nt.cli.prompt_tables import show_geometry
    from ke2nt.evaluation.image_encoders import get_image_encoder
    from ke2nt.promptlab.plots import plot_geometry
    from ke2nt.promptlab.result_tables import geometry_tables
    from ke2nt.promptlab.text_geometry import geometry as measure_geometry

    # a trained model stands for the text encoder that taught it
    if encoder.startswith("run:"):
        encoder = get_image_encoder(encoder, cache_dir=cache_dir).text_encoder
    result = measure_geometry(
        prompts, encoder, classes=read_names(classes), threshold=threshold, cache_dir=cache_dir
    )

    findings = Findings(
        "geometry.json",
        result.to_dict(),
        show=lambda: show_geometry(result, top),
        tables=lambda: geometry_tables(result),
        plot=partial(plot_geometry, result),
    )
    findings.report(out, paper, json=json)
