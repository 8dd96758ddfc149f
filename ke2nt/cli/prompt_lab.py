"""`ke2nt prompts rank | search | compare | geometry`: experiments with words."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ke2nt.cli.face_source import FaceSource
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
    writable,
)
from ke2nt.cli.output import JsonFlag, print_json, print_line
from ke2nt.errors import ConfigError

__all__ = ["add_to"]

PromptsOption = Annotated[
    list[str],
    typer.Option(
        "--prompts",
        metavar="SET[,SET...]",
        help="Shipped prompt sets or YAML files; may be repeated.",
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", callback=writable, metavar="DIR", help="Folder for JSON and pictures."),
]


class _Share(StrEnum):
    nothing = "nothing"
    templates = "templates"


class _Objective(StrEnum):
    uar = "uar"
    accuracy = "accuracy"


def add_to(app: typer.Typer) -> None:
    """Add the commands to `ke2nt prompts`."""
    for name, command in (
        ("rank", _rank),
        ("search", _search),
        ("compare", _compare),
        ("geometry", _geometry),
    ):
        app.command(name)(command)


def _rank(
    encoder: EncoderOption,
    prompts: PromptsOption,
    dataset: DatasetOption,
    split: SplitOption,
    root: RootOption = None,
    rule: RuleOption = None,
    option: ReaderOptions = None,
    text_encoder: TextEncoderOption = None,
    labels: LabelsOption = LabelChoice.strict,
    merge: MergeOption = None,
    limit: LimitOption = None,
    batch_size: BatchSizeOption = 64,
    device: DeviceOption = None,
    precision: PrecisionOption = PrecisionChoice.fp32,
    cache_dir: CacheDirOption = None,
    bootstrap: BootstrapOption = 1000,
    seed: SeedOption = 0,
    top: Annotated[
        int, typer.Option("--top", min=1, help="Rows of a table, or of a class in it, at most.")
    ] = 10,
    out: OutOption = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Judge every set, template and class word: alone, and what its ensemble gains by it.

    Example: ke2nt prompts rank --encoder run:runs/quickstart --prompts simple,ensemble
    --dataset drawn --split val --out words
    """
    from ke2nt.cli.prompt_tables import show_ranking
    from ke2nt.promptlab.plots import plot_ranking
    from ke2nt.promptlab.ranking import rank

    source = FaceSource(
        encoder, dataset, root, rule, option, text_encoder, labels, merge, limit,
        batch_size, device, precision, cache_dir, quiet or json,
    )  # fmt: skip
    sets = _sets(prompts)
    (images,) = source.embed(split)
    ranking = rank(images, sets, **source.reading(bootstrap, seed))
    facts = source.facts(images, split=split, bootstrap=bootstrap, seed=seed)
    document = {**facts, **ranking.to_dict()}
    written = _write(out, "rank.json", document, plot_ranking, ranking)
    if json:
        print_json(document)
        return
    show_ranking(ranking, top)
    _say_written(written)


def _search(
    encoder: EncoderOption,
    prompts: PromptsOption,
    dataset: DatasetOption,
    split: Annotated[str, typer.Option("--split", help="The split to search with, such as val.")],
    final_split: Annotated[
        str, typer.Option("--final-split", help="The untouched split for the final score.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            callback=writable,
            metavar="DIR",
            help="Folder for the new YAML, JSON and pictures.",
        ),
    ],
    share: Annotated[
        _Share,
        typer.Option(
            "--share", help="nothing: an ensemble for each class; templates: the same for all."
        ),
    ] = _Share.nothing,
    beam: Annotated[
        int, typer.Option("--beam", min=1, help="Partial choices kept; 1 is greedy.")
    ] = 1,
    max_prompts: Annotated[
        int, typer.Option("--max-prompts", min=1, help="Most prompts of a class, or templates.")
    ] = 8,
    objective: Annotated[
        _Objective, typer.Option("--objective", help="What to raise: UAR or accuracy (WAR).")
    ] = _Objective.uar,
    name: Annotated[str | None, typer.Option("--name", help="Name of the new set.")] = None,
    root: RootOption = None,
    rule: RuleOption = None,
    option: ReaderOptions = None,
    text_encoder: TextEncoderOption = None,
    labels: LabelsOption = LabelChoice.strict,
    merge: MergeOption = None,
    limit: LimitOption = None,
    batch_size: BatchSizeOption = 64,
    device: DeviceOption = None,
    precision: PrecisionOption = PrecisionChoice.fp32,
    cache_dir: CacheDirOption = None,
    bootstrap: BootstrapOption = 1000,
    seed: SeedOption = 0,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Choose an ensemble on one split, judge it on another, and write it as a prompt set.

    Example: ke2nt prompts search --encoder run:runs/quickstart --prompts ensemble,synonyms
    --dataset drawn --split val --final-split test --out found
    """
    from ke2nt.cli.prompt_tables import show_search
    from ke2nt.promptlab.plots import plot_search
    from ke2nt.promptlab.search_prompts import search
    from ke2nt.runtime.atomic import write_text

    if split == final_split:
        raise ConfigError(
            "the final split must not be the one that is searched with",
            found=f"{split} for both",
            hint="Name another one with --final-split, such as test.",
        )
    source = FaceSource(
        encoder, dataset, root, rule, option, text_encoder, labels, merge, limit,
        batch_size, device, precision, cache_dir, quiet or json,
    )  # fmt: skip
    sets = _sets(prompts)
    selection, final = source.embed(split, final_split)
    facts = source.facts(selection, split=split, final_split=final_split, bootstrap=bootstrap)
    result = search(
        selection,
        final,
        sets,
        share=share.value,
        beam=beam,
        max_size=max_prompts,
        objective=objective.value,
        name=name,
        settings=facts,
        **source.reading(bootstrap, seed),
    )
    document = result.to_dict()
    path = out / f"{result.prompts.name}.yaml"
    write_text(path, result.to_yaml())
    written = [path, *_write(out, "search.json", document, plot_search, result)]
    if json:
        print_json(document)
        return
    show_search(result, split, final_split)
    _say_written(written)


def _compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A shipped set, or a YAML file.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    encoder: EncoderOption,
    dataset: DatasetOption,
    split: SplitOption,
    root: RootOption = None,
    rule: RuleOption = None,
    option: ReaderOptions = None,
    text_encoder: TextEncoderOption = None,
    labels: LabelsOption = LabelChoice.strict,
    merge: MergeOption = None,
    limit: LimitOption = None,
    batch_size: BatchSizeOption = 64,
    device: DeviceOption = None,
    precision: PrecisionOption = PrecisionChoice.fp32,
    cache_dir: CacheDirOption = None,
    bootstrap: BootstrapOption = 1000,
    seed: SeedOption = 0,
    out: OutOption = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Say which of two prompt sets is better on the same images, and whether it may be chance.

    Example: ke2nt prompts compare simple ensemble --encoder run:runs/quickstart
    --dataset drawn --split test
    """
    from ke2nt.cli.prompt_tables import show_comparison
    from ke2nt.promptlab.comparison import compare
    from ke2nt.promptlab.plots import plot_comparison
    from ke2nt.promptlab.workbench import load_prompt_sets

    source = FaceSource(
        encoder, dataset, root, rule, option, text_encoder, labels, merge, limit,
        batch_size, device, precision, cache_dir, quiet or json,
    )  # fmt: skip
    one, two = load_prompt_sets([first, second])
    (images,) = source.embed(split)
    result = compare(images, one, two, **source.reading(bootstrap, seed))
    facts = source.facts(images, split=split, bootstrap=bootstrap, seed=seed)
    document = {**facts, **result.to_dict()}
    written = _write(out, "compare.json", document, plot_comparison, result)
    if json:
        print_json(document)
        return
    show_comparison(result)
    _say_written(written)


def _geometry(
    prompts: Annotated[str, typer.Argument(metavar="SET", help="A shipped set, or a YAML file.")],
    encoder: Annotated[
        str, typer.Option("--encoder", help="A text encoder; run:DIR names a trained model's.")
    ] = "minilm",
    classes: Annotated[
        str | None, typer.Option(help="Only these classes, separated by commas, in this order.")
    ] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", help="Cosine from which prompts are near-duplicates.")
    ] = 0.95,
    top: Annotated[int, typer.Option("--top", min=1, help="Rows of a table at most.")] = 20,
    cache_dir: CacheDirOption = None,
    out: OutOption = None,
    json: JsonFlag = False,
) -> None:
    """Measure a prompt set by its text alone: similarity, separation, directions, duplicates."""
    from ke2nt.cli.prompt_tables import show_geometry
    from ke2nt.evaluation.image_encoders import get_image_encoder
    from ke2nt.promptlab.plots import plot_geometry
    from ke2nt.promptlab.text_geometry import geometry

    if encoder.startswith("run:"):
        encoder = get_image_encoder(encoder, cache_dir=cache_dir).text_encoder
    names = None if classes is None else [part.strip() for part in classes.split(",")]
    found = geometry(prompts, encoder, classes=names, threshold=threshold, cache_dir=cache_dir)
    document = found.to_dict()
    written = _write(out, "geometry.json", document, plot_geometry, found)
    if json:
        print_json(document)
        return
    show_geometry(found, top)
    _say_written(written)


def _sets(prompts: list[str]) -> list[Any]:
    from ke2nt.promptlab.workbench import load_prompt_sets

    parts = [[p] if Path(p).is_file() else p.split(",") for p in prompts]
    return load_prompt_sets([name.strip() for names in parts for name in names if name.strip()])


def _write(
    out: Path | None, name: str, document: Mapping[str, Any], draw: Any, result: Any
) -> list[Path]:
    from ke2nt.runtime.atomic import write_bytes, write_json

    if out is None:
        return []
    write_json(out / name, document)
    pictures = draw(result)
    for file, data in pictures.items():
        write_bytes(out / file, data)
    return [out / name, *(out / file for file in pictures)]


def _say_written(paths: list[Path]) -> None:
    if paths:
        print_line(f"written: {paths[0]}" + "".join(f", {path.name}" for path in paths[1:]))
