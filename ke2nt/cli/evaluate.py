"""`ke2nt evaluate`."""

from __future__ import annotations

import json as json_library
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.options import (
    DeviceOption,
    LimitOption,
    QuietFlag,
    ReaderOptions,
    RootOption,
    RuleOption,
    device_name,
    pairs,
    reader_options,
    spread,
)
from ke2nt.cli.output import JsonFlag, print_json, print_line, print_table
from ke2nt.errors import DataError

if TYPE_CHECKING:
    from ke2nt.data.sample import FaceSplit
    from ke2nt.data.tensors import FaceTensors
    from ke2nt.evaluation.score import Evaluation
    from ke2nt.models.recogniser import Recogniser

__all__ = ["evaluate"]


class _Labels(StrEnum):
    strict = "strict"
    drop = "drop"
    keep = "keep"


class _Precision(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


def evaluate(
    run: Annotated[str, typer.Argument(help="A run directory, a saved model's folder or hub id.")],
    dataset: Annotated[
        str, typer.Option("--dataset", help="A dataset, as `ke2nt data list` names it.")
    ],
    split: Annotated[str, typer.Option("--split", help="Its split, such as val or test.")],
    root: RootOption = None,
    rule: RuleOption = None,
    option: ReaderOptions = None,
    labels: Annotated[
        _Labels, typer.Option("--labels", help="What to do with classes only one side has.")
    ] = _Labels.strict,
    merge: Annotated[
        list[str] | None,
        typer.Option(
            "--merge", metavar="A=B", help="Read the data's class A as B; may be repeated."
        ),
    ] = None,
    flip_tta: Annotated[
        bool, typer.Option("--flip-tta", help="Average each image with its mirror image.")
    ] = False,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 128,
    device: DeviceOption = None,
    precision: Annotated[
        _Precision, typer.Option("--precision", help="auto: bf16 on a GPU, fp32 elsewhere.")
    ] = _Precision.auto,
    limit: LimitOption = None,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, help="Resamples for the intervals; 0 for none.")
    ] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the resamples.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for metrics.json, predictions.csv and report.html."),
    ] = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Report a recogniser on a split: accuracy, class recall, confusions, calibration, intervals.

    Example: ke2nt evaluate runs/ferplus --dataset ferplus --root DIR --split test --rule majority
    """
    from ke2nt.data.readers.catalog import get_reader
    from ke2nt.evaluation.evaluate import evaluate_model, tensors_for
    from ke2nt.labels import map_labels
    from ke2nt.models.saving import load_model

    options = reader_options(option, rule)
    merged = pairs(merge, "--merge")
    place = device_name(device)
    model = load_model(run)
    data = spread(get_reader(dataset, root, **options).load(split), limit)
    map_labels(data.classes, model.classes, policy=labels.value, merge=merged)
    images = tensors_for(model, data, quiet=quiet or json)
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
    notes = _selection_notes(Path(run), data) + _calibration_notes(model, data)
    if limit is not None:
        notes.append(f"Only {len(data)} images, spread over the split, were evaluated.")
    facts = {"model": run, "options": options, "limit": limit, "notes": notes, **result.to_dict()}
    if out is not None:
        _write(out, facts, result, images, model, Path(run))
    if json:
        print_json(facts)
        return
    _show(result, options, notes)
    for name, reason in result.failed:
        print(f"unreadable: {name}: {reason}", file=sys.stderr)
    if out is not None:
        print_line(f"written: {out / 'metrics.json'}, predictions.csv, report.html")


def _selection_notes(run: Path, split: FaceSplit) -> list[str]:
    """What a run directory says about how its kept epoch was chosen, as far as it matters here."""
    if not (run / "run.json").is_file():
        return []
    from ke2nt.train.run import RunDirectory

    selection = RunDirectory(run).read("run.json").get("selection", {})
    notes = list(selection.get("notes", ()))
    same = (selection.get("dataset"), selection.get("split")) == (split.dataset, split.split)
    if same and not notes and selection.get("rule") != "last epoch":
        notes.append(
            f"The epoch was chosen on this split ({split.split}); its figures are optimistic."
        )
    return notes


def _calibration_notes(model: Recogniser, split: FaceSplit) -> list[str]:
    calibration = model.calibration
    on = {} if calibration is None else calibration.fitted_on
    if (on.get("dataset"), on.get("split")) != (split.dataset, split.split):
        return []
    return [
        f"The calibration was fitted on this split ({split.split}); its calibration error here is "
        "optimistic. The model card has the cross-fitted one."
    ]


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
    model: Recogniser,
    run: Path,
) -> None:
    from ke2nt.report.evaluation_report import evaluation_report
    from ke2nt.report.html import write_report
    from ke2nt.runtime.atomic import write_json, write_text

    write_json(out / "metrics.json", facts)
    write_text(out / "predictions.csv", result.to_csv())
    page = evaluation_report(
        result,
        images,
        model,
        options=facts["options"],
        records=_records(run),
        command=shlex.join(["ke2nt", *sys.argv[1:]]),
        warnings=facts["notes"],
    )
    write_report(out / "report.html", page)


def _show(result: Evaluation, options: dict[str, Any], notes: list[str]) -> None:
    from ke2nt.report.evaluation_report import data_line

    report = result.report
    print_line(data_line(result, options))
    titles = {
        "accuracy": "accuracy (WAR)",
        "uar": "mean class recall (UAR)",
        "macro_f1": "macro-F1",
    }
    rows = [
        [title, _percent(getattr(report, name)), _interval(report.intervals.get(name))]
        for name, title in titles.items()
    ]
    rows.append(["calibration error (ECE)", _percent(report.ece), ""])
    if result.uncalibrated is not None:
        rows.append(["ECE before calibration", _percent(result.uncalibrated.ece), ""])
    print_table(["figure", "value %", "95 % interval"], rows)
    print_table(
        ["class", "n images", "recall %", "95 % interval", "precision %", "F1 %"],
        [
            [
                c.name,
                c.support,
                _percent(c.recall),
                _interval(c.recall_interval),
                _percent(c.precision),
                _percent(c.f1),
            ]
            for c in report.per_class
        ],
    )
    print_table(
        ["true \\ predicted", *(f"{name} #" for name in _short(report.classes))],
        [[name, *row] for name, row in zip(report.classes, report.confusion, strict=True)],
        title="Confusion matrix (images)",
    )
    if result.mapping.merged or result.mapping.dropped or result.mapping.unused:
        dropped = sum(result.dropped.values())
        print_line(f"labels: {result.mapping.describe()}" + f" ({dropped} images)" * bool(dropped))
    for note in notes:
        print_line(f"note: {note}")


def _short(names: tuple[str, ...], length: int = 5) -> tuple[str, ...]:
    """Names cut to a few letters, so that a matrix fits a terminal; whole where two would agree."""
    cut = tuple(name[:length] for name in names)
    return cut if len(set(cut)) == len(names) else names


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "–" if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"
