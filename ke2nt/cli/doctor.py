"""`ke2nt doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ke2nt.cli.names import check_model_name
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.options import JsonFlag, ReaderOptions
from ke2nt.cli.output import print_json, print_line, print_table

__all__ = ["doctor"]

_LABELS = {"ok": "ok", "note": "note", "broken": "BROKEN"}


@dataclass(frozen=True)
class _DatasetName:
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="Dataset of `ke2nt data list`, or package.module.Name."),
    ] = None


@dataclass(frozen=True)
class _DatasetToCheck(ReaderOptions, _DatasetName):
    """A dataset, if one is to be checked."""


@with_option_groups
def doctor(
    data: _DatasetToCheck,
    model: Annotated[
        str | None, typer.Argument(help="A run directory, a model's folder or its name.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Find problems and say how to fix them: versions, devices, extras, caches, detectors, model.

    Exit code: 0 if nothing is broken (notes are not problems), 1 otherwise.

    Example: ke2nt doctor runs/ferplus --dataset ferplus --root DIR
    """
    # a slip of the keyboard costs no checks; a folder that is there is examined
    if model is not None and not Path(model).expanduser().exists():
        check_model_name(model)

    from ke2nt.doctor.examine import examine

    findings = examine(model, data.dataset, data.root, data.reader_options())
    broken = [finding for finding in findings if finding.level == "broken"]
    if json:
        facts = [finding.to_dict() for finding in findings]
        print_json({"sound": not broken, "findings": facts})
    else:
        print_table(
            ["", "area", "what", "result"],
            [[_LABELS[each.level], each.area, each.name, each.message] for each in findings],
        )

        # fixes are long, and would make the table too wide
        for finding in findings:
            if finding.fix is not None:
                print_line(f"{finding.name}: {finding.fix}")
        print_line(f"{len(broken)} broken" if broken else "nothing is broken")
    if broken:
        raise typer.Exit(1)
