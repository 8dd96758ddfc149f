"""`ke2nt zero-shot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.evaluation_tables import selection_notes, show_evaluation
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import read_names
from ke2nt.cli.options import (
    DatasetOptions,
    EmbeddingOptions,
    EncoderOptions,
    LabelOptions,
    OutputOptions,
    ReportFolderOption,
    StatisticsOptions,
)
from ke2nt.cli.output import (
    command_line,
    print_json,
    print_table,
    print_unreadable,
    print_written,
    silent,
)
from ke2nt.runtime.formatting import percent_cell

if TYPE_CHECKING:
    from ke2nt.data.sample import FaceSplit
    from ke2nt.evaluation.generalized import GeneralizedMetrics
    from ke2nt.evaluation.zero_shot import ZeroShot
    from ke2nt.vlm.base import ImageEncoder

__all__ = ["zero_shot"]


@with_option_groups
def zero_shot(
    encoder: EncoderOptions,
    prompts: Annotated[
        str, typer.Option("--prompts", metavar="SET", help="A shipped prompt set or a YAML file.")
    ],
    data: DatasetOptions,
    labels: LabelOptions,
    compute: EmbeddingOptions,
    statistics: StatisticsOptions,
    output: OutputOptions,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes", metavar="A,B,…", help="Use only these classes of the prompt set."
        ),
    ] = None,
    out: ReportFolderOption = None,
) -> None:
    """Evaluate a vision-language model on a split, without training and with any class words.

    Image embeddings are cached, so other words on the same images take no time. For a trained model
    (run:DIR), classes seen in training are reported apart from unseen ones.

    Example: ke2nt zero-shot --encoder open_clip:ViT-B-16/openai --prompts ensemble
    --dataset ferplus --root DIR --split test --rule majority
    """
    from ke2nt.evaluation.zero_shot import zero_shot as evaluate_zero_shot

    # everything that can be wrong is found before the images are embedded
    reader = data.open_reader()
    arguments = {**labels.arguments(), **compute.arguments(), **statistics.arguments()}
    model = encoder.load()
    split = reader.load(data.split).spread(data.limit)

    result = evaluate_zero_shot(
        model,
        prompts,
        split,
        classes=read_names(classes),
        cache_dir=encoder.cache_dir,
        quiet=output.hides_progress,
        **arguments,
    )

    # preprocessing belongs to the numbers: towers differ in it
    options = data.reader_options()
    notes = [
        *_selection_notes(encoder.encoder, model, split),
        *data.limit_note(split),
        *result.bank.provenance.get("notes", ()),
    ]
    facts = {
        "model": encoder.encoder,
        "options": options,
        "limit": data.limit,
        "notes": notes,
        "preprocessing": model.preprocessing_facts(),
        **result.to_dict(),
    }
    if out is not None and not silent():
        _write(out, facts, result, split)
    if output.json:
        print_json(facts)
        return

    show_evaluation(result.evaluation, options, notes)
    if result.generalized is not None:
        _show_generalized(result.generalized)
    print_unreadable(result.images.failed)
    if out is not None:
        print_written(out, "metrics.json", "predictions.csv", "report.html")


def _selection_notes(name: str, model: ImageEncoder, split: FaceSplit) -> list[str]:
    """Return notes on how the epoch of a trained model was chosen."""
    from ke2nt.evaluation.trained_encoder import TrainedEncoder

    if not isinstance(model, TrainedEncoder):
        return []
    return selection_notes(name.removeprefix("run:"), model.card, split)


def _write(out: Path, facts: dict[str, Any], result: ZeroShot, split: FaceSplit) -> None:
    """Write metrics, predictions and the HTML report."""
    from ke2nt.pages.render import write_report
    from ke2nt.pages.zero_shot_page import build_zero_shot_report
    from ke2nt.runtime.atomic import write_json, write_text

    # numbers first: they are safe on disk before the page is drawn
    write_json(out / "metrics.json", facts)
    write_text(out / "predictions.csv", result.evaluation.to_csv())
    page = build_zero_shot_report(
        result,
        split,
        model=facts["model"],
        options=facts["options"],
        command=command_line(),
        warnings=facts["notes"],
    )
    write_report(out / "report.html", page)


def _show_generalized(metrics: GeneralizedMetrics) -> None:
    """Print metrics of seen and unseen classes."""
    # the harmonic mean is high only if both are
    seen, unseen = ", ".join(metrics.seen_classes), ", ".join(metrics.unseen_classes)
    parts = [
        (f"seen in training: {seen}", metrics.n_seen, metrics.seen),
        (f"unseen: {unseen}", metrics.n_unseen, metrics.unseen),
        ("harmonic mean", metrics.n_seen + metrics.n_unseen, metrics.harmonic),
    ]
    print_table(
        ["classes", "n images", "accuracy %", "mean class recall %"],
        [
            [title, count, percent_cell(part.accuracy), percent_cell(part.recall)]
            for title, count, part in parts
        ],
        title="Generalized zero-shot: all classes are possible answers",
    )
