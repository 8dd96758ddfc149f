"""Options that several commands share, and how they are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.errors import ConfigError
from ke2nt.runtime.atomic import check_folder

if TYPE_CHECKING:
    from ke2nt.data.sample import FaceSplit

__all__ = [
    "BatchSizeOption",
    "BootstrapOption",
    "CacheDirOption",
    "DatasetOption",
    "DeviceOption",
    "EncoderOption",
    "LabelChoice",
    "LabelsOption",
    "LimitOption",
    "MergeOption",
    "PrecisionChoice",
    "PrecisionOption",
    "QuietFlag",
    "ReaderOptions",
    "RootOption",
    "RuleOption",
    "SeedOption",
    "SplitOption",
    "TextEncoderOption",
    "device_name",
    "pairs",
    "reader_options",
    "resumed_alone",
    "spread",
    "yaml_text",
]


class LabelChoice(StrEnum):
    strict = "strict"
    drop = "drop"
    keep = "keep"


class PrecisionChoice(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


EncoderOption = Annotated[
    str,
    typer.Option(
        "--encoder",
        metavar="ENC",
        help="open_clip:ARCH/TAG-or-path, open_clip:FOLDER, transformers:ID-or-folder, or "
        "run:DIR for a trained model.",
    ),
]
TextEncoderOption = Annotated[
    str | None,
    typer.Option("--text-encoder", help="For run:DIR, where its own text encoder has moved to."),
]
DatasetOption = Annotated[
    str,
    typer.Option("--dataset", help="Dataset of `ke2nt data list`, or package.module.Name."),
]
SplitOption = Annotated[str, typer.Option("--split", help="Its split, such as val or test.")]
RootOption = Annotated[
    Path | None, typer.Option("--root", help="Its folder; drawn faces have none.")
]
RuleOption = Annotated[
    str | None, typer.Option("--rule", help="How votes become a label, such as majority.")
]
ReaderOptions = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="A reader option; may be repeated."),
]
LabelsOption = Annotated[
    LabelChoice, typer.Option("--labels", help="What to do with classes only one side has.")
]
MergeOption = Annotated[
    list[str] | None,
    typer.Option("--merge", metavar="A=B", help="Read the data's class A as B; may be repeated."),
]
BatchSizeOption = Annotated[int, typer.Option("--batch-size", min=1)]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, …; the GPU where there is one.")
]
PrecisionOption = Annotated[
    PrecisionChoice,
    typer.Option(
        "--precision",
        help="Metrics are computed in fp32 unless you ask; auto: bf16 where the device computes in "
        "it natively.",
    ),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Only N images, spread over the split.")
]
CacheDirOption = Annotated[Path | None, typer.Option("--cache-dir", help="Cache folder.")]
BootstrapOption = Annotated[
    int, typer.Option("--bootstrap", min=0, help="Resamples for the intervals; 0 for none.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of all that is drawn.")]
QuietFlag = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]


def writable(folder: Path | None) -> Path | None:
    """Callback of options that name a folder to write to: looks at it before any work is done."""
    if folder is not None:
        check_folder(folder)
    return folder


def pairs(texts: Iterable[str] | None, flag: str, *, yaml: bool = False) -> dict[str, Any]:
    """NAME=VALUE texts as a mapping; values are YAML where asked for.

    Raises:
        ConfigError: A text has no name or no value.
    """
    import yaml as yaml_library

    found: dict[str, Any] = {}
    for text in texts or ():
        key, equals, value = (part.strip() for part in text.partition("="))
        try:
            found[key] = yaml_library.safe_load(value) if yaml else value
        except yaml_library.YAMLError:
            equals = ""
        if not (key and equals and value):
            raise ConfigError(f"{flag} cannot be read", expected="NAME=VALUE", found=repr(text))
    return found


def reader_options(option: Iterable[str] | None, rule: str | None) -> dict[str, Any]:
    """Options of a dataset reader from --option and --rule.

    Raises:
        ConfigError: An option cannot be read, or both name the rule.
    """
    options = pairs(option, "--option", yaml=True)
    if rule is not None and "rule" in options:
        raise ConfigError(
            "the rule is given twice",
            expected="--rule or --option rule=…",
            found=f"{rule} and {options['rule']}",
        )
    return options if rule is None else {**options, "rule": rule}


def resumed_alone(command: str, run: Path, given: Mapping[str, object]) -> None:
    """Refuse what belongs to a new run beside `--resume`.

    Args:
        command: What resumes the run.
        run: Its directory.
        given: Name → value, empty or None where it was not given.

    Raises:
        ConfigError: Something was.
    """
    if used := [name for name, value in given.items() if value]:
        raise ConfigError(
            "a run is resumed as it was begun",
            expected="--resume RUN alone",
            found=", ".join(used),
            hint=f"Type: {command} --resume {run}",
        )


def device_name(name: str | None) -> str:
    """Name of the device asked for, or of the GPU where there is one.

    Raises:
        ConfigError: It cannot be used here.
    """
    from ke2nt.runtime.devices import usable_device

    return str(usable_device(name))


def spread(split: FaceSplit, limit: int | None) -> FaceSplit:
    """At most `limit` samples, at even distances over the split."""
    return split.spread(limit)


def yaml_text(text: str) -> str:
    """A YAML scalar that reads back as the same text."""
    return "'" + text.replace("'", "''") + "'"
