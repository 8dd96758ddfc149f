"""`ke2nt zero-shot`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.evaluation_tables import selection_notes, show_evaluation
from ke2nt.cli.options import (
    BatchSizeOption,
    BootstrapOption,
    CacheDirOption,
    DatasetOption,
    DeviceOption,
    EncoderOption,
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
    TextEncoderOption,
    device_name,
    pairs,
    reader_options,
    spread,
    writable,
)
from ke2nt.cli.output import JsonFlag, print_json, print_line, print_table, silent
from ke2nt.runtime.formatting import percent_cell

if TYPE_CHECKING:
    from ke2nt.data.sample import FaceSplit
    from ke2nt.evaluation.generalized import PartMetrics
    from ke2nt.evaluation.zero_shot import ZeroShot

__all__ = ["zero_shot"]


def zero_shot(
    encoder: EncoderOption,
    prompts: Annotated[
        str, typer.Option("--prompts", metavar="SET", help="A shipped prompt set or a YAML file.")
    ],
    dataset: DatasetOption,
    split: SplitOption,
    root: RootOption = None,
    rule: RuleOption = None,
    option: ReaderOptions = None,
    classes: Annotated[
        str | None,
        typer.Option("--classes", metavar="A,B,…", help="Classes of the set that may be answers."),
    ] = None,
    text_encoder: TextEncoderOption = None,
    labels: LabelsOption = LabelChoice.strict,
    merge: MergeOption = None,
    batch_size: BatchSizeOption = 64,
    device: DeviceOption = None,
    precision: PrecisionOption = PrecisionChoice.fp32,
    limit: LimitOption = None,
    cache_dir: CacheDirOption = None,
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
    """Report a vision-language model on a split with no training, under any words.

    Images are embedded once and kept: other words on the same images are answered at once. For a
    trained model (run:DIR) the classes it has seen in training and the others are told apart.

    Example: ke2nt zero-shot --encoder open_clip:ViT-B-16/openai --prompts ensemble
    --dataset ferplus --root DIR --split test --rule majority
    """
    from ke2nt.datasets.catalog import get_reader
    from ke2nt.evaluation.image_encoders import get_image_encoder
    from ke2nt.evaluation.trained_encoder import TrainedEncoder
    from ke2nt.evaluation.zero_shot import zero_shot as evaluate

    options = reader_options(option, rule)
    merged = pairs(merge, "--merge")
    place = device_name(device)
    model = get_image_encoder(encoder, cache_dir=cache_dir, text_encoder=text_encoder)
    data = spread(get_reader(dataset, root, options).load(split), limit)
    result = evaluate(
        model,
        prompts,
        data,
        classes=None if classes is None else [name.strip() for name in classes.split(",")],
        policy=labels.value,
        merge=merged,
        cache_dir=cache_dir,
        batch_size=batch_size,
        device=place,
        precision=precision.value,
        bootstrap=bootstrap,
        seed=seed,
        quiet=quiet or json,
    )
    notes = []
    if isinstance(model, TrainedEncoder):
        notes = selection_notes(encoder.removeprefix("run:"), model.card, data)
    if limit is not None:
        notes.append(f"Only {len(data)} images, spread over the split, were evaluated.")
    facts = {
        "model": encoder,
        "options": options,
        "limit": limit,
        "notes": notes,
        "preprocessing": model.preprocessing_facts(),
        **result.to_dict(),
    }
    if out is not None and not silent():
        _write(out, facts, result, data)
    if json:
        print_json(facts)
        return
    show_evaluation(result.evaluation, options, notes)
    _show_generalized(result)
    for name, reason in () if silent() else result.images.failed:
        print(f"unreadable: {name}: {reason}", file=sys.stderr)
    if out is not None:
        print_line(f"written: {out / 'metrics.json'}, predictions.csv, report.html")


def _write(out: Path, facts: dict[str, Any], result: ZeroShot, split: FaceSplit) -> None:
    from ke2nt.pages.render import write_report
    from ke2nt.pages.zero_shot_page import build_zero_shot_report
    from ke2nt.runtime.atomic import write_json, write_text

    write_json(out / "metrics.json", facts)
    write_text(out / "predictions.csv", result.evaluation.to_csv())
    page = build_zero_shot_report(
        result,
        split,
        model=facts["model"],
        options=facts["options"],
        command=shlex.join(["ke2nt", *sys.argv[1:]]),
        warnings=facts["notes"],
    )
    write_report(out / "report.html", page)


def _show_generalized(result: ZeroShot) -> None:
    figures = result.generalized
    if figures is None:
        return

    def row(title: str, count: int, part: PartMetrics) -> list[object]:
        return [title, count, percent_cell(part.accuracy), percent_cell(part.recall)]

    seen, unseen = (", ".join(names) for names in (figures.seen_classes, figures.unseen_classes))
    print_table(
        ["classes", "n images", "accuracy %", "mean class recall %"],
        [
            row(f"seen in training: {seen}", figures.n_seen, figures.seen),
            row(f"unseen: {unseen}", figures.n_unseen, figures.unseen),
            row("harmonic mean", figures.n_seen + figures.n_unseen, figures.harmonic),
        ],
        title="Generalized zero-shot: all classes are possible answers",
    )
