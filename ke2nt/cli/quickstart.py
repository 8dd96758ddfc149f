"""`ke2nt quickstart`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ke2nt.cli.output import JsonFlag, print_json, print_line, print_table
from ke2nt.runtime.formatting import percent, percent_cell

__all__ = ["quickstart"]


def quickstart(
    out: Annotated[
        Path, typer.Option("--out", help="Where to write the run; must not hold one yet.")
    ] = Path("runs/quickstart"),
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")] = False,
    json: JsonFlag = False,
) -> None:
    """See the whole method work: train on drawn faces, evaluate on unseen people."""
    from ke2nt.quickstart import quickstart as run_quickstart

    result = run_quickstart(out, quiet=quiet or json)
    report = result.evaluation.report
    if json:
        print_json(
            {
                "run": str(result.run.path),
                "report": str(result.run.report),
                "seconds": round(result.seconds, 1),
                **result.evaluation.to_dict(),
            }
        )
        return
    print_table(
        ["class", "n images", "recall %"],
        [[c.name, c.support, percent_cell(c.recall)] for c in report.per_class],
        title="Drawn faces of people that were not in training",
    )
    print_line(
        f"accuracy {percent(report.accuracy)}, UAR {percent(report.uar)} on {report.n} faces, "
        f"in {result.seconds:.0f} s"
    )
    print_line(f"open the report: {result.run.report}")
