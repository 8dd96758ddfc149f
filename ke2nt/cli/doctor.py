"""`ke2nt doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from ke2nt.cli.options import ReaderOptions, RootOption, RuleOption, reader_options
from ke2nt.cli.output import JsonFlag, print_json, print_line, print_table

__all__ = ["doctor"]

_SIGNS = {"ok": "ok", "note": "note", "broken": "BROKEN"}


def doctor(
    model: Annotated[
        str | None, typer.Argument(help="A run directory, a model's folder or its name.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="Dataset of `ke2nt data list`, or package.module.Name."),
    ] = None,
    root: RootOption = None,
    rule: RuleOption = None,
    option: ReaderOptions = None,
    json: JsonFlag = False,
) -> None:
    """Look at versions, devices, extras, caches, a model and a dataset; say what mends each fault.

    Exits with 0 where nothing is broken (notes are not faults), and with 1 where something is.

    Example: ke2nt doctor runs/ferplus --dataset ferplus --root DIR
    """
    from ke2nt.doctor import examine

    found = examine(model, dataset, root, reader_options(option, rule))
    broken = [finding for finding in found if finding.level == "broken"]
    if json:
        print_json({"sound": not broken, "findings": [finding.to_dict() for finding in found]})
    else:
        print_table(
            ["", "area", "what", "found"],
            [[_SIGNS[f.level], f.area, f.name, f.message] for f in found],
        )
        for finding in found:
            if finding.mend is not None:
                print_line(f"{finding.name}: {finding.mend}")
        count = len(broken)
        print_line("nothing is broken" if not count else f"{count} broken")
    if broken:
        raise typer.Exit(1)
