"""`ke2nt data`: list, describe, check and pack datasets, and draw synthetic faces."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import read_reader_options
from ke2nt.cli.options import JsonFlag
from ke2nt.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from ke2nt.datasets.base import Reader
    from ke2nt.datasets.check import CheckReport
    from ke2nt.datasets.findings import Finding

__all__ = ["app"]

app = typer.Typer(
    help="Datasets: list, describe, check and pack them, or draw one.", no_args_is_help=True
)

_COUNT_ROWS = {
    "samples": "samples",
    "imbalance": "largest / smallest class",
    "subjects": "subjects",
    "images_present": "images on disk",
    "images_missing": "images missing",
}


@dataclass(frozen=True)
class _DatasetArguments:
    """A dataset by name and folder."""

    name: Annotated[
        str, typer.Argument(help="Dataset of `ke2nt data list`, or package.module.Name.")
    ]
    root: Annotated[
        Path | None,
        typer.Argument(
            help="The dataset's folder, or a manifest file; not needed for drawn faces.",
            show_default=False,
        ),
    ] = None
    rule: Annotated[
        str | None,
        typer.Option(help="How votes become a label: majority, plurality10, plurality8."),
    ] = None
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="Dataset option; may be repeated."),
    ] = None

    def open_reader(self) -> Reader:
        """Return the dataset's reader."""
        from ke2nt.datasets.catalog import get_reader
        from ke2nt.datasets.forms import check_arguments

        check_arguments(self.name, self.root)
        return get_reader(self.name, self.root, read_reader_options(self.option, self.rule))


@dataclass(frozen=True)
class _DecodeOptions:
    """What is decoded, and how."""

    split: Annotated[
        list[str] | None, typer.Option("--split", help="Only this split; may be repeated.")
    ] = None
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Decoding threads. Default: all cores.")
    ] = None


@app.command("list")
def list_command(json: JsonFlag = False) -> None:
    """List the datasets that can be read, with their layouts."""
    from ke2nt.datasets.catalog import READERS, describe_reader

    descriptions = [describe_reader(name) for name in READERS]
    if json:
        print_json(descriptions)
        return

    rows = []
    for facts in descriptions:
        options = ", ".join(f"{name}={value}" for name, value in facts["options"].items())
        splits = ", ".join(facts["splits"]) or "as in the data"
        classes = len(facts["classes"]) or "as in the data"
        rows.append([facts["name"], classes, splits, options, facts["summary"]])
    print_table(["name", "n classes", "splits", "options", "description"], rows)

    # the layouts come last: they are long, and the table above is what most look for
    for facts in descriptions:
        print_line(f"\n{facts['name']}")
        for line in facts["expected_tree"].splitlines():
            print_line(f"  {line}")


@app.command("info")
@with_option_groups
def info_command(dataset: _DatasetArguments, json: JsonFlag = False) -> None:
    """Count samples per split and class; the images may still be missing."""
    from ke2nt.datasets.info import dataset_info

    reader = dataset.open_reader()
    info = dataset_info(reader)
    if json:
        print_json(info)
        return

    # attributes may differ from split to split, so each has its line
    _show_counts(info["dataset"], info["splits"])
    for split, facts in info["splits"].items():
        for attribute, values in facts["attributes"].items():
            shares = ", ".join(f"{value} {count}" for value, count in values.items())
            print_line(f"{split}, {attribute}: {shares}")
    for finding in reader.remarks():
        _show_finding(finding)


@app.command("check")
@with_option_groups
def check_command(
    dataset: _DatasetArguments,
    decode: _DecodeOptions,
    near: Annotated[
        bool, typer.Option("--near", help="Also look for near-duplicates and mirrored copies.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 on warnings as well as errors.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Decode every image and look for problems, each with a hint.

    Exit code: 1 if a split cannot be used at all (none of its images can be read, or it is empty),
    0 otherwise. With --strict, any warning exits with 1: unreadable or missing images, duplicates
    across splits, subjects in more than one split, missing classes.
    """
    from ke2nt.datasets.check import check_dataset

    # exit codes are for scripts: a usable dataset with warnings passes unless --strict
    report = check_dataset(
        dataset.open_reader(), decode.split, near=near, workers=decode.workers, quiet=json
    )
    if json:
        print_json(report.to_dict())
    else:
        _show_report(report)
    if not (report.clean if strict else report.usable):
        raise typer.Exit(1)


@app.command("pack")
@with_option_groups
def pack_command(
    dataset: _DatasetArguments,
    decode: _DecodeOptions,
    out: Annotated[Path, typer.Option("--out", help="A new or empty folder.")],
    size: Annotated[int, typer.Option(min=16, max=1024, help="Image size in pixels.")] = 112,
    json: JsonFlag = False,
) -> None:
    """Decode every image once, into arrays; read them with the dataset name `packed`."""
    from ke2nt.datasets.pack import pack_dataset

    summary = pack_dataset(
        dataset.open_reader(),
        out,
        size,
        splits=decode.split,
        workers=decode.workers or os.cpu_count() or 1,
        quiet=json,
    )
    if json:
        print_json(summary)
        return

    # the command ends with the keys to type, as the packed data has another name
    rows = []
    for split, facts in summary.items():
        rows.append([split, facts["samples"], len(facts["failed"]), facts["bytes"] // 2**20])
    print_table(["split", "n faces", "n unreadable", "n MiB"], rows)
    for facts in summary.values():
        for image, reason in facts["failed"].items():
            print_line(f"unreadable: {image}: {reason}")
    print_line(
        f"written to {out}; read it with: data.name=packed data.root={out} 'data.options={{}}'"
    )


@app.command("synth", hidden=True)  # the old name
@app.command("draw")
def draw_command(
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    count: Annotated[int, typer.Option(help="Number of faces in all splits.")] = 2400,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    size: Annotated[int, typer.Option(help="Image size in pixels.")] = 112,
    style: Annotated[
        list[str] | None, typer.Option(help="Drawing style; may be repeated. Default: photo.")
    ] = None,
    masks: Annotated[bool, typer.Option("--masks", help="Also write region masks.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Worker processes.")] = 1,
    json: JsonFlag = False,
) -> None:
    """Draw a dataset of faces; read it with the dataset name `manifest`."""
    from ke2nt.drawn.folder import write_folder

    # styles cycle over the faces; photo is the one that other commands draw
    summary = write_folder(
        out,
        count=count,
        seed=seed,
        size=size,
        styles=tuple(style or ("photo",)),
        masks=masks,
        workers=workers,
        quiet=json,
    )
    if json:
        print_json(summary)
        return
    print_table(
        ["split", "n faces", "n identities"],
        [
            [split, facts["faces"], facts["identities"]]
            for split, facts in summary["splits"].items()
        ],
    )
    print_line(f"written to {out}")


@app.command("corruptions")
def corruptions_command(
    out: Annotated[Path, typer.Argument(help="PNG file to write.")],
    image: Annotated[
        Path | None, typer.Option("--image", help="Image of a face. Default: a drawn face.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
) -> None:
    """Show a face under every corruption of the dataset `corruptions`, at all severities."""
    from ke2nt.data.images import decode
    from ke2nt.datasets.catalog import get_reader
    from ke2nt.plots.corruption_sheet import plot_corruptions
    from ke2nt.runtime.atomic import write_bytes

    # an open mouth and wide eyes show corruptions best
    source: Any = image
    if image is None:
        drawn = get_reader("drawn", count=32, size=64, min_intensity=0.8).load("test")
        surprised = [s for s in drawn.samples if drawn.classes[s.label] == "surprise"]
        source = surprised[0].source
    write_bytes(out, plot_corruptions(decode(source), seed=seed))
    print_line(f"written to {out}")


def _show_report(report: CheckReport) -> None:
    """Print counts and findings of a check."""
    _show_counts(report.dataset, report.splits)
    for finding in report.findings:
        _show_finding(finding)
    if not report.findings:
        print_line("no problems found")


def _show_finding(finding: Finding) -> None:
    print_line(f"\n{finding.level}: {finding.message}. {finding.hint}")
    for example in finding.examples:
        print_line(f"  {example}")
    if finding.count > len(finding.examples):
        print_line(f"  and {finding.count - len(finding.examples)} more")


def _show_counts(dataset: str, splits: dict[str, dict[str, Any]]) -> None:
    """Print a row for each class and each count, and a column for each split."""
    # a dataset may have no split at all
    facts_by_split = list(splits.values())
    classes = list(facts_by_split[0]["classes"]) if facts_by_split else []
    rows: list[list[object]] = [
        [name, *(facts["classes"][name] for facts in facts_by_split)] for name in classes
    ]
    for key, title in _COUNT_ROWS.items():
        counts = [facts[key] for facts in facts_by_split]
        if any(count is not None for count in counts):
            rows.append([title, *("" if count is None else count for count in counts)])
    print_table(["", *(f"{name} #" for name in splits)], rows, title=dataset)
