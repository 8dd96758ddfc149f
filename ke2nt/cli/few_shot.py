"""`ke2nt few-shot`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.evaluation_tables import encoder_notes, training_notes
from ke2nt.cli.names import check_encoder_name
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import PART_OF_TRAIN, check_writable, read_names
from ke2nt.cli.options import (
    DatasetNameOption,
    EmbeddingOptions,
    EncoderOptions,
    LimitOption,
    OutputOptions,
    ReaderOptions,
    StatisticsOptions,
)
from ke2nt.cli.output import (
    command_line,
    print_json,
    print_line,
    print_notes,
    print_table,
    print_unreadable,
    print_warnings,
    print_written,
    silent,
)
from ke2nt.cli.paper_options import PaperOptions, print_paper_files
from ke2nt.errors import DataError

if TYPE_CHECKING:
    from ke2nt.data.sample import FaceSplit
    from ke2nt.datasets.base import Reader
    from ke2nt.fewshot.options import FewShotOptions
    from ke2nt.fewshot.result import FewShotResult

__all__ = ["few_shot"]


class _Saved(StrEnum):
    none = "none"
    largest = "largest"
    all = "all"


@dataclass(frozen=True)
class _DatasetName:
    """Comes first in the help."""

    dataset: DatasetNameOption


@dataclass(frozen=True)
class _FewShotData(ReaderOptions, _DatasetName):
    """The splits of a dataset that methods learn from, are tuned on and are judged on."""

    split: Annotated[
        str | None,
        typer.Option("--split", help="Split to judge on. Default: test, or else val."),
    ] = None
    train_split: Annotated[
        str, typer.Option("--train-split", help="Split that the shots are drawn from.")
    ] = "train"
    val_split: Annotated[
        str | None,
        typer.Option(
            "--val-split",
            help="Split to choose hyperparameters on; null: a tenth of the training split. "
            "Default: val if it is not judged on, or else null.",
        ),
    ] = None
    hold_out: Annotated[
        str | None, typer.Option("--hold-out", metavar="A,B,…", help="Classes to leave out.")
    ] = None
    limit: LimitOption = None

    def open_reader(self) -> Reader:
        """Return the reader, after its warnings; the names of splits are checked.

        Raises:
            DataError: The dataset's name, folder, options or a split is not valid.
        """
        from ke2nt.datasets.catalog import get_reader

        reader = get_reader(self.dataset, self.root, self.reader_options())
        for name in filter(None, self.split_names(reader)):
            reader.check_split(name)
        print_warnings(reader.remarks())
        return reader

    def split_names(self, reader: Reader) -> tuple[str, str | None, str]:
        """Return the names of training, validation and evaluated split.

        Raises:
            DataError: The dataset has no split to judge on.
        """
        judged = self.split
        if judged is None:
            judged = next((name for name in ("test", "val") if name in reader.splits), None)
        if judged is None:
            raise DataError(
                f"missing split for {self.dataset}",
                expected=f"--split one of {', '.join(reader.splits)}",
            )
        validation = None if self.val_split == PART_OF_TRAIN else self.val_split
        if self.val_split is None and "val" in reader.splits and judged != "val":
            validation = "val"
        return self.train_split, validation, judged

    def load(self, reader: Reader) -> tuple[FaceSplit, FaceSplit | None, FaceSplit]:
        """Load training, validation and evaluated split, without the classes that are held out."""
        from ke2nt.data.splits import hold_out

        train, validation, judged = self.split_names(reader)
        held_out = read_names(self.hold_out) or []
        parts = [
            None if name is None else hold_out(reader.load(name), held_out)
            for name in (train, validation, judged)
        ]
        assert parts[0] is not None
        assert parts[2] is not None
        return parts[0], parts[1], parts[2].spread(self.limit)


@with_option_groups
def few_shot(
    encoder: EncoderOptions,
    data: _FewShotData,
    compute: EmbeddingOptions,
    statistics: StatisticsOptions,
    output: OutputOptions,
    paper: PaperOptions,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            callback=check_writable,
            metavar="DIR",
            help="Folder for results, draws and models; the same command continues there.",
        ),
    ],
    prompts: Annotated[
        str, typer.Option("--prompts", metavar="SET", help="Shipped prompt set or YAML file.")
    ] = "paper",
    shots: Annotated[
        str, typer.Option("--shots", metavar="K,K,…", help="Images of each class; all: every one.")
    ] = "1,2,4,8,16",
    methods: Annotated[
        str | None,
        typer.Option("--methods", metavar="A,B,…", help="Methods. Default: all of them."),
    ] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="S,S,…", help="Seeds of the draws.")
    ] = "1,2,3",
    save_models: Annotated[
        _Saved,
        typer.Option(
            "--save-models",
            help="Models to save. largest: of each method the one of most shots and first seed.",
        ),
    ] = _Saved.largest,
) -> None:
    """Compare few-shot methods on embeddings of a frozen encoder: K images of each class.

    Images are embedded once. Hyperparameters are chosen on validation images that no method is
    judged on. Every finished fit is stored, so a command that was interrupted continues.

    Example: ke2nt few-shot --encoder open_clip:ViT-B-16/openai --dataset rafdb --root DIR
    --shots 1,2,4,8,16,all --out shots
    """
    # names are checked before torch is imported
    options = _read_options(shots, methods, seeds, save_models, compute, statistics, output)
    check_encoder_name(encoder.encoder)
    prompt_set = _load_prompts(prompts)
    reader = data.open_reader()
    _check_splits(*data.split_names(reader))
    held_out = read_names(data.hold_out) or []
    for name in reader.classes:
        if name not in held_out:
            prompt_set.render(name)

    from ke2nt.fewshot.experiment import few_shot as run_few_shot
    from ke2nt.fewshot.figures import plot_few_shot

    arguments = {**compute.arguments(), "cache_dir": encoder.cache_dir}
    model = encoder.load()
    train, validation, judged = data.load(reader)
    facts = {
        "model": encoder.encoder,
        "options": data.reader_options(),
        "hold_out": read_names(data.hold_out) or [],
        "limit": data.limit,
    }
    result = run_few_shot(
        model,
        prompt_set,
        train,
        judged,
        validation,
        out=None if silent() else out,
        options=options,
        facts=facts,
        **arguments,
    )
    notes = [*encoder_notes(encoder.encoder, model, judged), *_seen_notes(model, train)]
    # a smaller split was evaluated as a whole
    if data.limit == len(judged):
        notes.append(f"Only {len(judged)} images, spread over the split, were evaluated.")
    result = result.with_notes(notes)

    # numbers first: they are safe on disk before models are written and anything is drawn
    written = _write(result, model, out, options)
    files = paper.write(
        result.tables,
        lambda format: {f"few_shot.{format}": plot_few_shot(result, format=format)},
    )
    if output.json:
        print_json(result.to_dict())
        return
    _show(result)
    print_written(out, *written)
    print_paper_files(files)


def _read_options(
    shots: str,
    methods: str | None,
    seeds: str,
    save_models: _Saved,
    compute: EmbeddingOptions,
    statistics: StatisticsOptions,
    output: OutputOptions,
) -> FewShotOptions:
    """Check methods, shots and seeds."""
    from ke2nt.fewshot.names import METHOD_NAMES, read_seeds, read_shots
    from ke2nt.fewshot.options import FewShotOptions

    return FewShotOptions(
        methods=tuple(read_names(methods) or METHOD_NAMES),
        shots=read_shots(shots),
        seeds=read_seeds(seeds),
        save_models=save_models.value,
        quiet=output.hides_progress,
        **statistics.arguments(),
    )


def _seen_notes(encoder: Any, train: FaceSplit) -> list[str]:
    """Return a note if a trained encoder was trained on the split that shots are drawn from."""
    if not training_notes(None, getattr(encoder, "card", {}), train):
        return []
    return [
        f"The encoder was trained on split {train.split}, from which the shots are drawn: its "
        "embeddings of them are not those of new images."
    ]


def _check_splits(*names: str | None) -> None:
    from ke2nt.fewshot.draws import check_distinct_splits

    check_distinct_splits(*names)


def _load_prompts(name: str) -> Any:
    from ke2nt.prompts.prompt_set import PromptSet

    return PromptSet.load(name)


def _write(result: FewShotResult, model: Any, out: Path, options: FewShotOptions) -> list[str]:
    """Write results, page, curves and models; return their names."""
    from ke2nt.fewshot.figures import build_page, plot_few_shot
    from ke2nt.fewshot.saved_models import save_models
    from ke2nt.pages.render import render_tables
    from ke2nt.runtime.atomic import write_bytes, write_json, write_text

    if silent():
        return []
    write_json(out / "few_shot.json", result.to_dict())
    models = save_models(result, model, out, options.save_models, command=command_line())
    write_bytes(out / "few_shot.png", plot_few_shot(result))
    write_text(out / "report.html", render_tables(build_page(result, command=command_line())))
    names = [str(path.relative_to(out)) for path in models]
    return ["few_shot.json", "few_shot.png", "report.html", "draws.json", *names]


def _show(result: FewShotResult) -> None:
    """Print a row for each method and number of shots."""
    from ke2nt.tables.printed import format_rows

    table = result.tables()[0].without_intervals()
    columns = [table.columns[k] for k in table.printed]
    print_table(
        [f"{each.title} #" if each.is_number else each.title for each in columns],
        format_rows(table),
    )
    print_line(str(result.facts["validation_rule"]))
    print_notes(result.notes)
    print_unreadable(result.failed)
