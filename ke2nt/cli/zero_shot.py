"""`ke2nt zero-shot`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.evaluation_tables import encoder_notes, show_evaluation
from ke2nt.cli.names import check_encoder_name
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import read_names
from ke2nt.cli.options import (
    ON_HELP,
    ON_METAVAR,
    CacheDirOption,
    EmbeddingOptions,
    LabelOptions,
    LimitOption,
    OutputOptions,
    ReaderOptions,
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
from ke2nt.cli.paper_options import PaperOptions, print_paper_files
from ke2nt.cli.prompt_experiments import PromptSetsOption, load_prompt_sets
from ke2nt.cli.zero_shot_matrix import evaluate_matrix
from ke2nt.cli.zero_shot_save import SaveOption, check_save, save_recognizer
from ke2nt.errors import ConfigError
from ke2nt.runtime.formatting import percent_cell

if TYPE_CHECKING:
    from ke2nt.data.sample import FaceSplit
    from ke2nt.evaluation.generalized import GeneralizedMetrics
    from ke2nt.evaluation.targets import Target
    from ke2nt.evaluation.zero_shot import ZeroShot
    from ke2nt.pages.run_report import RunReport
    from ke2nt.prompts.prompt_set import PromptSet
    from ke2nt.vlm.base import ImageEncoder

__all__ = ["zero_shot"]


@dataclass(frozen=True)
class _ZeroShotData(ReaderOptions):
    """One dataset by --dataset, or any number by --on."""

    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="Dataset of `ke2nt data list`, or package.module.Name."),
    ] = None
    split: Annotated[
        str | None, typer.Option("--split", help="Dataset split, such as val or test.")
    ] = None
    limit: LimitOption = None
    on: Annotated[
        list[str] | None,
        typer.Option("--on", metavar=ON_METAVAR, help=f"In place of --dataset: {ON_HELP}"),
    ] = None

    @property
    def is_named(self) -> bool:
        """Whether a dataset is named in either way."""
        return bool(self.on) or self.dataset is not None

    def targets(self) -> list[Target]:
        """Return the datasets.

        Raises:
            ConfigError: None or both ways are used, or a text is not valid.
        """
        from ke2nt.evaluation.targets import Target, disambiguate_targets

        single = (self.dataset, self.split, self.root, self.rule, self.option, self.limit)
        if self.on and any(value is not None for value in single):
            raise ConfigError(
                "--on cannot be combined with options of --dataset",
                hint="Write --on NAME=DIR,split=test,KEY=VALUE for each dataset.",
            )
        if self.on:
            return disambiguate_targets([Target.parse(text) for text in self.on])
        if self.dataset is None or self.split is None:
            raise ConfigError(
                "no dataset is named",
                expected="--dataset NAME --split SPLIT, or --on NAME=DIR,split=SPLIT",
            )
        root = None if self.root is None else str(self.root)
        return [Target(self.dataset, root, self.split, self.reader_options(), self.limit)]


@with_option_groups
def zero_shot(
    encoder: Annotated[
        list[str],
        typer.Option(
            "--encoder",
            metavar="ENC",
            help="open_clip:ARCH/TAG-or-path, open_clip:FOLDER, transformers:ID-or-folder, or "
            "run:DIR for a trained model; may be repeated.",
        ),
    ],
    prompts: PromptSetsOption,
    data: _ZeroShotData,
    labels: LabelOptions,
    compute: EmbeddingOptions,
    statistics: StatisticsOptions,
    output: OutputOptions,
    paper: PaperOptions,
    text_encoder: Annotated[
        str | None,
        typer.Option("--text-encoder", help="For run:DIR: new location of its text encoder."),
    ] = None,
    cache_dir: CacheDirOption = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes", metavar="A,B,…", help="Use only these classes of the prompt sets."
        ),
    ] = None,
    out: ReportFolderOption = None,
    save: SaveOption = None,
) -> None:
    """Evaluate vision-language models on datasets, without training and with any class words.

    Several models, prompt sets or datasets make one table; what fails is named, and the others are
    still evaluated. Image embeddings are cached, so other words on the same images take no time.
    For a trained model (run:DIR), classes seen in training are reported apart from unseen ones.
    With --save, a model and its words become a model folder for predict, explain, export and all
    other commands; then a dataset is optional.

    Example: ke2nt zero-shot --encoder open_clip:ViT-B-16/openai --prompts simple,ensemble
    --on ferplus=DIR,split=test,rule=majority --on rafdb=DIR
    """
    # names are checked before torch is imported; of several encoders, each may fail alone
    if len(encoder) == 1:
        check_encoder_name(encoder[0])
    sets = load_prompt_sets(prompts)
    if save is not None:
        check_save(save, encoder, sets)
        if not data.is_named:
            save_recognizer(save, encoder[0], sets[0], read_names(classes), cache_dir, output)
            return
    targets = data.targets()
    if save is not None and len(targets) > 1:
        raise ConfigError("--save takes one dataset, or none", found=f"{len(targets)} datasets")

    # of several datasets, each may fail alone
    if len(targets) == 1 and targets[0].split is not None:
        targets[0].open_reader().check_split(targets[0].split)
    options: dict[str, Any] = {
        **labels.arguments(),
        **compute.arguments(),
        **statistics.arguments(),
        "classes": read_names(classes),
        "cache_dir": cache_dir,
        "quiet": output.hides_progress,
    }
    load = partial(_load_encoder, text_encoder=text_encoder, cache_dir=cache_dir)

    # one evaluation has a report of its own
    if len(encoder) == len(sets) == len(targets) == 1:
        evaluated = partial(_evaluate_one, load, encoder[0], sets[0], targets[0], options)
        result = evaluated(out, paper, output)
        if save is not None:
            chosen = result.bank.classes
            save_recognizer(save, encoder[0], sets[0], chosen, cache_dir, output, result)
    else:
        outcome = evaluate_matrix(load, encoder, sets, targets, options, out, paper, output)
        outcome.report()


def _load_encoder(name: str, *, text_encoder: str | None, cache_dir: Path | None) -> ImageEncoder:
    """Return an image encoder; its model is loaded when it is first needed."""
    from ke2nt.evaluation.image_encoders import get_image_encoder

    return get_image_encoder(name, cache_dir=cache_dir, text_encoder=text_encoder)


def _evaluate_one(
    load: Callable[[str], ImageEncoder],
    encoder: str,
    prompts: PromptSet,
    target: Target,
    options: dict[str, Any],
    out: Path | None,
    paper: PaperOptions,
    output: OutputOptions,
) -> ZeroShot:
    """Evaluate one model with one prompt set on one dataset, print and write the results."""
    from ke2nt.evaluation.result_tables import ResultRow, evaluation_tables
    from ke2nt.evaluation.zero_shot import zero_shot as evaluate_zero_shot
    from ke2nt.pages.render import write_report
    from ke2nt.pages.report_plots import draw_report_plots
    from ke2nt.runtime.atomic import write_json, write_text

    # everything that can be wrong is found before the images are embedded
    reader = target.open_reader()
    model = load(encoder)
    split = target.load(reader)
    result = evaluate_zero_shot(model, prompts, split, **options)

    # preprocessing belongs to the numbers: towers differ in it
    notes = [*encoder_notes(encoder, model, split), *result.bank.provenance.get("notes", ())]
    if target.limit is not None:
        notes.append(f"Only {len(split)} images, spread over the split, were evaluated.")
    facts = {
        "model": encoder,
        "options": dict(target.options or {}),
        "limit": target.limit,
        "notes": notes,
        "preprocessing": model.preprocessing_facts(),
        **result.to_dict(),
    }

    # numbers first: they are safe on disk before anything is drawn
    report = partial(_build_report, facts, result, split)
    if out is not None and not silent():
        write_json(out / "metrics.json", facts)
        write_text(out / "predictions.csv", result.evaluation.to_csv())
        write_report(out / "report.html", report())
    row = ResultRow((encoder, prompts.name, target.name), result.evaluation)
    files = paper.write(
        lambda: evaluation_tables(("model", "prompts", "dataset"), row),
        lambda format: draw_report_plots(report(), format=format),
    )
    if output.json:
        print_json(facts)
        return result

    show_evaluation(result.evaluation, facts["options"], notes)
    if result.generalized is not None:
        _show_generalized(result.generalized)
    print_unreadable(result.images.failed)
    if out is not None:
        print_written(out, "metrics.json", "predictions.csv", "report.html")
    print_paper_files(files)
    return result


def _build_report(facts: dict[str, Any], result: ZeroShot, split: FaceSplit) -> RunReport:
    """Build the contents of the HTML report, whose plots are also the figures."""
    from ke2nt.pages.zero_shot_page import build_zero_shot_report

    return build_zero_shot_report(
        result,
        split,
        model=facts["model"],
        options=facts["options"],
        command=command_line(),
        warnings=facts["notes"],
    )


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
