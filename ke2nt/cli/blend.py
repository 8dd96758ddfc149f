"""`ke2nt blend`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.names import check_model_name
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import check_writable
from ke2nt.cli.options import (
    ON_HELP,
    ON_METAVAR,
    ComputeOptions,
    FlipOption,
    OutputOptions,
    SeveralLabelOptions,
    StatisticsOptions,
)
from ke2nt.cli.output import (
    print_json,
    print_line,
    print_notes,
    print_table,
    print_warnings,
    print_written,
    silent,
)
from ke2nt.cli.paper_options import PaperOptions, print_paper_files
from ke2nt.errors import ConfigError
from ke2nt.runtime.formatting import first_few

if TYPE_CHECKING:
    from ke2nt.blending.blend import Blend

__all__ = ["blend"]


class SoupChoice(StrEnum):
    uniform = "uniform"
    greedy = "greedy"


class MetricChoice(StrEnum):
    accuracy = "accuracy"
    uar = "uar"
    macro_f1 = "macro_f1"


class BatchNormChoice(StrEnum):
    interpolate = "interpolate"
    recompute = "recompute"


@dataclass(frozen=True)
class _Recipe:
    """Which averages are made, and how one is chosen."""

    alpha: Annotated[
        str | None,
        typer.Option(
            "--alpha",
            metavar="FIRST:LAST:STEP",
            help="Share of the second model: a range (0:1:0.1 if not given), or 0.5, or 0,0.3,1.",
        ),
    ] = None
    soup: Annotated[
        SoupChoice | None,
        typer.Option("--soup", help="Average several models: all of them, or those that help."),
    ] = None
    choose_on: Annotated[
        str | None,
        typer.Option(
            "--choose-on",
            metavar=ON_METAVAR,
            help="Images to choose on. Without a split: the validation split, or what the run of "
            "the last model set aside. Default: those of the first dataset.",
        ),
    ] = None
    metric: Annotated[MetricChoice, typer.Option("--metric", help="What is chosen by.")] = (
        MetricChoice.accuracy
    )
    batch_norm: Annotated[
        BatchNormChoice,
        typer.Option(
            "--batch-norm",
            help="Statistics of batch normalization: averaged as the weights, or measured on the "
            "choosing images.",
        ),
    ] = BatchNormChoice.interpolate

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `ke2nt.blending.blend.blend`, checked without torch.

        Raises:
            ConfigError: --alpha is not valid.
        """
        from ke2nt.blending.alphas import parse_alphas

        if self.alpha is not None:
            parse_alphas(self.alpha)
        return {
            "alphas": self.alpha,
            "soup": None if self.soup is None else self.soup.value,
            "choose_on": self.choose_on,
            "metric": self.metric.value,
            "batch_norm": self.batch_norm.value,
        }


@with_option_groups
def blend(
    models: Annotated[
        list[str],
        typer.Argument(help="Zero-shot and fine-tuned model; with --soup, two or more models."),
    ],
    on: Annotated[list[str], typer.Option("--on", metavar=ON_METAVAR, help=ON_HELP)],
    out: Annotated[
        Path,
        typer.Option(
            "--out", callback=check_writable, help="Folder for the chosen model, JSON and plot."
        ),
    ],
    recipe: _Recipe,
    labels: SeveralLabelOptions,
    compute: ComputeOptions,
    statistics: StatisticsOptions,
    output: OutputOptions,
    paper: PaperOptions,
    flip_tta: FlipOption = False,
) -> None:
    """Average the weights of models: between zero-shot and fine-tuned (WiSE-FT), or as a soup.

    Every average is evaluated on all datasets, the first of which counts as home. The one that is
    best on the choosing images is written as an ordinary model; these are never test images unless
    you name them.

    Example: ke2nt blend runs/zero_shot runs/tuned --on ferplus=DIR --on rafdb=DIR --out runs/blend
    """
    arguments = recipe.arguments()
    _check_out(out)
    for model in models:
        check_model_name(model)
    from ke2nt.evaluation.targets import Target, disambiguate_targets

    targets = disambiguate_targets([Target.parse(text) for text in on])
    for target in targets:
        print_warnings(target.open_reader().remarks())

    from ke2nt.blending.blend import blend as blend_models

    result = blend_models(
        models,
        targets,
        **arguments,
        **labels.arguments(),
        **compute.arguments(),
        **statistics.arguments(),
        flip_tta=flip_tta,
        quiet=output.hides_progress,
    )
    _write(out, result, paper, as_json=output.json)


def _check_out(out: Path) -> None:
    """Refuse a folder that another command wrote, before anything is computed."""
    present = {path.name for path in out.iterdir()} if out.is_dir() else set()
    foreign = sorted(present - {"model", "blend.json", "blend.png"})
    if foreign:
        raise ConfigError(
            "the output folder holds other files",
            expected="a new or empty folder, or that of an older blend",
            found=first_few(foreign),
            where=out,
        )


def _write(out: Path, result: Blend, paper: PaperOptions, *, as_json: bool) -> None:
    """Write model, JSON, plot and files for papers, and print the table."""
    from ke2nt.blending.blend_tables import blend_table, blend_tables
    from ke2nt.runtime.atomic import write_bytes, write_json
    from ke2nt.tables.printed import format_rows

    # only the first process of a launcher writes
    files = []
    if not silent():
        plot = _draw(result, "png")
        result.save(out / "model")
        write_json(out / "blend.json", result.to_dict())
        write_bytes(out / "blend.png", plot)
        files = paper.write(
            lambda: blend_tables(result),
            lambda format: {f"blend.{format}": _draw(result, format)},
        )
    if as_json:
        print_json(result.to_dict())
        return

    table = blend_table(result)
    titles = [table.columns[k].title for k in table.printed]
    print_table(titles, format_rows(table))
    print_line(f"* chosen: {_describe(result)}")
    print_notes(result.notes)
    print_written(out, "model", "blend.json", "blend.png")
    print_paper_files(files)


def _describe(result: Blend) -> str:
    """How the written model was made."""
    shares = ", ".join(
        f"{share:.3g} of {name}"
        for name, share in zip(result.names, result.best.shares, strict=True)
        if share
    )
    if result.choice is None:
        return shares
    choice = result.choice
    return (
        f"{shares}; by {choice['metric']} on {choice['images']} images of {choice['dataset']} "
        f"{choice['split']}"
    )


def _draw(result: Blend, format: Any) -> bytes:
    import numpy as np

    from ke2nt.plots.blend_plot import plot_blend

    # accuracy where nothing was chosen
    metric = "accuracy" if result.choice is None else str(result.choice["metric"])
    datasets = list(result.best.evaluations)
    values = [
        [getattr(point.evaluations[name].report, metric) for name in datasets]
        for point in result.points
    ]
    return plot_blend(
        [point.label for point in result.points],
        datasets,
        np.array(values),
        result.chosen,
        metric={"accuracy": "WAR", "uar": "UAR", "macro_f1": "macro-F1"}[metric],
        is_curve=result.method == "interpolation",
        format=format,
    )
