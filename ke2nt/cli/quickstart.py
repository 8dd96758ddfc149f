"""`ke2nt quickstart`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import check_writable
from ke2nt.cli.options import OutputOptions
from ke2nt.cli.output import print_json, print_line, print_table
from ke2nt.runtime.formatting import percent, percent_cell

__all__ = ["quickstart"]


@with_option_groups
def quickstart(
    output: OutputOptions,
    out: Annotated[
        Path,
        typer.Option(
            "--out", callback=check_writable, help="Run directory; must not hold a run yet."
        ),
    ] = Path("runs/quickstart"),
) -> None:
    """Show the whole method: train on drawn faces, evaluate on people who were not in training."""
    from ke2nt.quickstart import quickstart as run_quickstart

    result = run_quickstart(out, quiet=output.hides_progress)
    report = result.evaluation.report
    if output.json:
        facts = {
            "run": str(result.run.path),
            "report": str(result.run.report),
            "seconds": round(result.seconds, 1),
        }
        print_json({**facts, **result.evaluation.to_dict()})
        return

    # people of the validation split are not in the training split
    print_table(
        ["class", "n images", "recall %"],
        [[scores.name, scores.support, percent_cell(scores.recall)] for scores in report.per_class],
        title="Drawn faces of people that were not in training",
    )
    print_line(
        f"accuracy {percent(report.accuracy)}, UAR {percent(report.uar)} on {report.n} faces, "
        f"in {result.seconds:.0f} s"
    )
    print_line(f"open the report: {result.run.report}")
