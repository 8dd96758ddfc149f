"""`ke2nt evaluate`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.evaluation_tables import (
    evaluation_notes,
    show_evaluation,
    show_groups,
    training_notes,
)
from ke2nt.cli.names import check_model_name
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.options import (
    ComputeOptions,
    DatasetOptions,
    FlipOption,
    LabelOptions,
    OutputOptions,
    PriorOption,
    ReportFolderOption,
    StatisticsOptions,
)
from ke2nt.cli.output import (
    command_line,
    print_json,
    print_unreadable,
    print_written,
    silent,
)
from ke2nt.cli.paper_options import PaperOptions, print_paper_files
from ke2nt.errors import DataError

if TYPE_CHECKING:
    from ke2nt.data.tensors import FaceTensors
    from ke2nt.evaluation.groups import GroupReport
    from ke2nt.evaluation.score import Evaluation
    from ke2nt.models.base import ExpressionModel
    from ke2nt.pages.run_report import RunReport

__all__ = ["evaluate"]


@with_option_groups
def evaluate(
    run: Annotated[str, typer.Argument(help="A run directory, a saved model's folder or hub id.")],
    data: DatasetOptions,
    labels: LabelOptions,
    compute: ComputeOptions,
    statistics: StatisticsOptions,
    output: OutputOptions,
    paper: PaperOptions,
    flip_tta: FlipOption = False,
    prior: PriorOption = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="ATTRIBUTE",
            help="Also report each group of people by this attribute of the data, such as gender; "
            "may be repeated.",
        ),
    ] = None,
    out: ReportFolderOption = None,
) -> None:
    """Evaluate a recognizer on a split: accuracy, class recall, confusions, calibration, intervals.

    Example: ke2nt evaluate runs/ferplus --dataset ferplus --root DIR --split test --rule majority
    """
    # names are checked before torch is imported
    check_model_name(run)
    reader = data.open_reader()
    if not Path(run).is_dir():  # a run may have carved a split of its own
        reader.check_split(data.split)

    from ke2nt.evaluation.evaluate_model import decode_for_model, evaluate_model
    from ke2nt.evaluation.groups import check_group_attribute, group_report
    from ke2nt.evaluation.result_tables import ResultRow, evaluation_tables
    from ke2nt.labels import map_labels
    from ke2nt.models.load import load_model
    from ke2nt.pages.render import write_report
    from ke2nt.pages.report_plots import draw_report_plots
    from ke2nt.runtime.atomic import write_json, write_text
    from ke2nt.runtime.distributed import join_group
    from ke2nt.training.seen_images import count_seen_images, load_split_of_run

    # everything else that can be wrong is found before the images are decoded
    label_arguments, compute_arguments = labels.arguments(), compute.arguments()
    model = load_model(run)
    split = load_split_of_run(run, reader, data.split).spread(data.limit)
    map_labels(split.classes, model.classes, **label_arguments)
    for attribute in by or ():
        check_group_attribute(split, attribute)

    # processes of a launcher share the images
    join_group(compute_arguments["device"])
    images = decode_for_model(model, split, quiet=output.hides_progress)
    result = evaluate_model(
        model,
        images,
        flip_tta=flip_tta,
        prior=prior,
        quiet=output.hides_progress,
        **label_arguments,
        **compute_arguments,
        **statistics.arguments(),
    )
    groups = [
        group_report(result.predictions, split, attribute, **statistics.arguments())
        for attribute in by or ()
    ]

    # everything in the document is needed to read or repeat the numbers
    options = data.reader_options()
    seen = count_seen_images(run, split, images.pixel_digests())
    notes = [*evaluation_notes(run, model, split), *data.limit_note(split)]
    notes = [*training_notes(seen, model.card, split), *notes]
    facts: dict[str, Any] = {"model": run, "options": options, "limit": data.limit, "notes": notes}
    facts |= result.to_dict()
    if seen is not None:
        facts["training_images"] = seen.to_dict()
    if groups:
        facts["groups"] = [group.to_dict() for group in groups]

    # numbers first: they are safe on disk before anything is drawn
    row = ResultRow((run, split.dataset, split.split), result)
    report = partial(_build_report, facts, result, images, model, groups)
    if out is not None and not silent():
        write_json(out / "metrics.json", facts)
        write_text(out / "predictions.csv", result.to_csv())
        write_report(out / "report.html", report())
    files = paper.write(
        lambda: evaluation_tables(("model", "dataset", "split"), row, groups),
        lambda format: draw_report_plots(report(), format=format),
    )
    if output.json:
        print_json(facts)
        return

    show_evaluation(result, options, notes)
    show_groups(groups)
    print_unreadable(result.failed)
    if out is not None:
        print_written(out, "metrics.json", "predictions.csv", "report.html")
    print_paper_files(files)


def _build_report(
    facts: Mapping[str, Any],
    result: Evaluation,
    images: FaceTensors,
    model: ExpressionModel,
    groups: Sequence[GroupReport],
) -> RunReport:
    """Build the contents of the HTML report, whose plots are also the figures."""
    from ke2nt.pages.evaluation_report import build_evaluation_report

    return build_evaluation_report(
        result,
        images,
        model,
        options=facts["options"],
        records=_read_log(Path(facts["model"])),
        command=command_line(),
        warnings=facts["notes"],
        groups=groups,
    )


def _read_log(run: Path) -> list[dict[str, Any]]:
    """Return the records of a run's epochs; none for a model without a run."""
    log = run / "log.jsonl"
    try:
        return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise DataError("cannot read the log", where=log, found=error) from error
