"""`ke2nt evaluate`."""

from __future__ import annotations

import json as json_library
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.evaluation_tables import (
    evaluation_notes,
    show_evaluation,
    show_groups,
)
from ke2nt.cli.options import (
    BatchSizeOption,
    BootstrapOption,
    DatasetOption,
    DeviceOption,
    LabelChoice,
    LabelsOption,
    LimitOption,
    MergeOption,
    PrecisionChoice,
    PrecisionOption,
    QuietFlag,
    ReaderOptions,
    RootOption,
    RuleOption,
    SeedOption,
    SplitOption,
    device_name,
    pairs,
    reader_options,
    spread,
    writable,
)
from ke2nt.cli.output import JsonFlag, print_json, print_line, silent
from ke2nt.errors import DataError

if TYPE_CHECKING:
    from ke2nt.data.tensors import FaceTensors
    from ke2nt.evaluation.groups import GroupReport
    from ke2nt.evaluation.score import Evaluation
    from ke2nt.models.base import ExpressionModel

__all__ = ["evaluate"]


def evaluate(
    run: Annotated[str, typer.Argument(help="A run directory, a saved model's folder or hub id.")],
    dataset: DatasetOption,
    split: SplitOption,
    root: RootOption = None,
    rule: RuleOption = None,
    option: ReaderOptions = None,
    labels: LabelsOption = LabelChoice.strict,
    merge: MergeOption = None,
    flip_tta: Annotated[
        bool, typer.Option("--flip-tta", help="Average each image with its mirror image.")
    ] = False,
    batch_size: BatchSizeOption = 128,
    device: DeviceOption = None,
    precision: PrecisionOption = PrecisionChoice.fp32,
    limit: LimitOption = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="ATTRIBUTE",
            help="Also report each group of people by this attribute of the data, such as gender; "
            "may be repeated.",
        ),
    ] = None,
    bootstrap: BootstrapOption = 1000,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            callback=writable,
            help="Folder for metrics.json, predictions.csv and report.html.",
        ),
    ] = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Report a recognizer on a split: accuracy, class recall, confusions, calibration, intervals.

    Example: ke2nt evaluate runs/ferplus --dataset ferplus --root DIR --split test --rule majority
    """
    from ke2nt.datasets.catalog import get_reader
    from ke2nt.evaluation.evaluate_model import decode_for_model, evaluate_model
    from ke2nt.evaluation.groups import check_group_attribute, group_report
    from ke2nt.labels import map_labels
    from ke2nt.models.load import load_model
    from ke2nt.runtime.distributed import join_group

    options = reader_options(option, rule)
    merged = pairs(merge, "--merge")
    place = device_name(device)
    model = load_model(run)
    data = spread(get_reader(dataset, root, options).load(split), limit)
    map_labels(data.classes, model.classes, policy=labels.value, merge=merged)
    for name in by or ():
        check_group_attribute(data, name)
    join_group(place)
    images = decode_for_model(model, data, quiet=quiet or json)
    result = evaluate_model(
        model,
        images,
        policy=labels.value,
        merge=merged,
        batch_size=batch_size,
        device=place,
        precision=precision.value,
        flip_tta=flip_tta,
        bootstrap=bootstrap,
        seed=seed,
        quiet=quiet or json,
    )
    notes = evaluation_notes(run, model, data)
    if limit is not None:
        notes.append(f"Only {len(data)} images, spread over the split, were evaluated.")
    groups = [
        group_report(result.predictions, data, name, bootstrap=bootstrap, seed=seed)
        for name in by or ()
    ]
    facts = {"model": run, "options": options, "limit": limit, "notes": notes, **result.to_dict()}
    if groups:
        facts["groups"] = [group.to_dict() for group in groups]
    if out is not None and not silent():
        _write(out, facts, result, images, model, Path(run), groups)
    if json:
        print_json(facts)
        return
    show_evaluation(result, options, notes)
    show_groups(groups)
    for name, reason in () if silent() else result.failed:
        print(f"unreadable: {name}: {reason}", file=sys.stderr)
    if out is not None:
        print_line(f"written: {out / 'metrics.json'}, predictions.csv, report.html")


def _records(run: Path) -> list[dict[str, Any]]:
    try:
        lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
        return [json_library.loads(line) for line in lines]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise DataError("cannot read the log", where=run / "log.jsonl", found=error) from error


def _write(
    out: Path,
    facts: dict[str, Any],
    result: Evaluation,
    images: FaceTensors,
    model: ExpressionModel,
    run: Path,
    groups: Sequence[GroupReport],
) -> None:
    from ke2nt.pages.evaluation_report import build_evaluation_report
    from ke2nt.pages.render import write_report
    from ke2nt.runtime.atomic import write_json, write_text

    write_json(out / "metrics.json", facts)
    write_text(out / "predictions.csv", result.to_csv())
    page = build_evaluation_report(
        result,
        images,
        model,
        options=facts["options"],
        records=_records(run),
        command=shlex.join(["ke2nt", *sys.argv[1:]]),
        warnings=facts["notes"],
        groups=groups,
    )
    write_report(out / "report.html", page)
