"""`ke2nt prompts learn`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.names import check_encoder_name
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import PART_OF_TRAIN, check_writable
from ke2nt.cli.options import (
    DatasetOptions,
    EmbeddingOptions,
    EncoderOptions,
    LabelOptions,
    OutputOptions,
    SeedOption,
    StatisticsOptions,
)
from ke2nt.cli.output import print_json, print_written
from ke2nt.cli.prompt_experiments import PromptExperiment
from ke2nt.errors import ConfigError

if TYPE_CHECKING:
    from ke2nt.data.sample import FaceSplit
    from ke2nt.datasets.base import Reader
    from ke2nt.prompt_learning.options import ContextOptions

__all__ = ["learn"]

_VAL_SHARE = 0.1  # of the training images, as for data.val_fraction


class _Position(StrEnum):
    end = "end"
    middle = "middle"
    front = "front"


@dataclass(frozen=True)
class _LearnData(DatasetOptions):
    """What is learned from, and what the epoch is chosen by."""

    split: Annotated[str, typer.Option("--split", help="Split to learn from.")] = "train"
    val_split: Annotated[
        str | None,
        typer.Option(
            "--val-split",
            help="Split that the epoch is chosen by; null: a part of --split. Default: val where "
            "the dataset has it, otherwise null.",
            show_default=False,
        ),
    ] = None
    val_fraction: Annotated[
        float | None,
        typer.Option(
            "--val-fraction",
            help="Share of --split that the epoch is chosen by, with --val-split null. "
            f"Default: {_VAL_SHARE}.",
            show_default=False,
        ),
    ] = None
    shots: Annotated[
        int | None, typer.Option("--shots", min=1, help="Learn from so many images of each class.")
    ] = None

    def load(self, reader: Reader, seed: int) -> tuple[FaceSplit, FaceSplit]:
        """Return the images to learn from and those to choose the epoch by."""
        from ke2nt.data.splits import carve_validation, draw_shots

        train, val_name = reader.load(self.split), self.val_name(reader)
        if val_name is None:
            train, val = carve_validation(train, self.val_share, seed)
        else:
            val = reader.load(val_name)

        # after carving, so that the validation images do not depend on the number of shots
        if self.shots is not None:
            train = draw_shots(train, self.shots, seed)
        return train.spread(self.limit), val.spread(self.limit)

    @property
    def val_share(self) -> float:
        """Share of the training split that a part of it takes."""
        return _VAL_SHARE if self.val_fraction is None else self.val_fraction

    def val_facts(self, reader: Reader) -> dict[str, Any]:
        """What the epoch is chosen by, for learn.json."""
        name = self.val_name(reader)
        return {"val_split": name, "val_fraction": self.val_share if name is None else None}

    def val_name(self, reader: Reader) -> str | None:
        """The validation split; None for a part of the training split."""
        if self.val_split == PART_OF_TRAIN:
            return None
        if self.val_split is not None:
            return self.val_split
        return "val" if "val" in reader.splits and self.split != "val" else None


@dataclass(frozen=True)
class _ContextChoice:
    """What is learned, and how."""

    context: Annotated[
        int | None,
        typer.Option(
            "--context",
            min=1,
            help="Number of vectors. Default: as many as --init has tokens, or else 16.",
            show_default=False,
        ),
    ] = None
    position: Annotated[
        _Position, typer.Option("--position", help="Where the class word stands.")
    ] = _Position.end
    class_specific: Annotated[
        bool, typer.Option("--class-specific", help="Learn vectors for each class.")
    ] = False
    init: Annotated[
        str | None,
        typer.Option("--init", help='Words to start from, such as "a photo of a".'),
    ] = None
    regularize: Annotated[
        float,
        typer.Option(
            "--regularize",
            "--regularise",
            min=0,
            help="Weight of the distance to the written prompts; 0 is CoOp, 8 is KgCoOp's.",
        ),
    ] = 0.0
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the images.")] = 50
    lr: Annotated[float, typer.Option("--lr", help="Peak learning rate.")] = 0.002
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images in a step of learning.")] = 32
    seed: SeedOption = 0

    def read(self) -> ContextOptions:
        """Return the options of the library, checked."""
        from ke2nt.prompt_learning.options import ContextOptions

        return ContextOptions(
            context=self.context,
            position=self.position.value,
            class_specific=self.class_specific,
            init=self.init,
            regularize=self.regularize,
            epochs=self.epochs,
            lr=self.lr,
            batch_size=self.batch,
            seed=self.seed,
        )


@with_option_groups
def learn(
    encoder: EncoderOptions,
    data: _LearnData,
    choice: _ContextChoice,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            callback=check_writable,
            metavar="DIR",
            help="Folder for the prompt set, its vectors and learn.json.",
        ),
    ],
    labels: LabelOptions,
    compute: EmbeddingOptions,
    output: OutputOptions,
    prompts: Annotated[
        str,
        typer.Option(
            "--prompts", help="Written prompt set: its class words, and what to stay near to."
        ),
    ] = "paper",
    name: Annotated[str, typer.Option("--name", help="Name of the learned set.")] = "learned",
) -> None:
    """Learn the words around the class word, as vectors of the text encoder (CoOp, KgCoOp).

    Example: ke2nt prompts learn --encoder open_clip:ViT-B-16/openai --dataset rafdb --root DIR
    --context 16 --shots 16 --out words
    """
    options = choice.read()
    reader = _check_names(encoder, data, prompts, name)
    experiment = PromptExperiment(encoder, data, labels, compute, StatisticsOptions(bootstrap=0))

    from ke2nt.cli.learned_tables import show_learned_prompts, show_nearest_words
    from ke2nt.prompt_learning.learn_prompts import learn_prompts
    from ke2nt.prompt_learning.learned_set import write_learned_set
    from ke2nt.runtime.atomic import write_json

    # every image is embedded once; learning itself never sees one
    quiet = output.hides_progress
    splits = data.load(reader, choice.seed)
    train, val = experiment.embed_loaded(*splits, quiet=quiet)
    facts = experiment.facts(train, split=data.split, **data.val_facts(reader), shots=data.shots)
    result = learn_prompts(
        train,
        val,
        prompts,
        options,
        **labels.arguments(),
        name=name,
        settings=_without_folders(facts),
        device=compute.arguments()["device"],
        cache_dir=encoder.cache_dir,
        quiet=quiet,
    )

    document = {**facts, **result.to_dict()}
    written = write_learned_set(out, result.prompts)
    write_json(out / "learn.json", document)
    if output.json:
        print_json(document)
        return
    show_learned_prompts(result)
    assert result.prompts.learned is not None
    show_nearest_words(result.prompts.learned)
    print_written(out, *written, "learn.json")


def _check_names(encoder: EncoderOptions, data: _LearnData, prompts: str, name: str) -> Reader:
    """Check all names before torch is imported; return the reader of the dataset."""
    from ke2nt.prompts.prompt_set import PromptSet

    PromptSet.load(prompts)
    check_encoder_name(encoder.encoder)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise ConfigError(
            "--name is not a name", expected="letters, digits, '_', '.' or '-'", found=repr(name)
        )

    # the epoch is chosen on other images than those that are learned from
    reader = data.open_reader()
    val_split = data.val_name(reader)
    for split in filter(None, (data.split, val_split)):
        reader.check_split(split)
    if val_split == data.split:
        raise ConfigError(
            "the epoch would be chosen on the images that are learned from",
            found=f"{data.split} for both",
            hint=f"Name another split with --val-split, or type --val-split {PART_OF_TRAIN} for a "
            "part of it.",
        )
    _check_fraction(data.val_fraction, val_split)
    return reader


def _check_fraction(fraction: float | None, val_split: str | None) -> None:
    """Check --val-fraction, which divides the split to learn from."""
    if fraction is None:
        return
    if not 0 < fraction < 0.9:
        raise ConfigError(
            "--val-fraction is out of range", expected="above 0, below 0.9", found=fraction
        )
    if val_split is not None:
        raise ConfigError(
            "--val-fraction is a share of the images to learn from",
            expected=f"--val-split {PART_OF_TRAIN}",
            found=f"the validation split {val_split}",
        )


def _without_folders(facts: dict[str, object]) -> dict[str, object]:
    """Facts for a file that is passed on: none that holds a folder of this machine."""
    private = ("encoder", "text_encoder", "options", "limit", "failed")
    return {key: value for key, value in facts.items() if key not in private}
