"""`ke2nt data`: list, describe, check and pack datasets, and draw synthetic faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.options import reader_options
from ke2nt.cli.output import JsonFlag, print_json, print_line, print_table

if TYPE_CHECKING:
    from ke2nt.datasets.base import Reader

__all__ = ["app"]

app = typer.Typer(
    help="Datasets: list, describe, check and pack them, or draw one.", no_args_is_help=True
)

_Name = Annotated[str, typer.Argument(help="Dataset of `ke2nt data list`, or package.module.Name.")]
_Root = Annotated[Path, typer.Argument(help="The dataset's folder, or a manifest file.")]
_Rule = Annotated[
    str | None, typer.Option(help="How votes become a label: majority, plurality10, plurality8.")
]
_Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="An option of the reader; may be repeated."),
]
_Splits = Annotated[
    list[str] | None, typer.Option("--split", help="Only this split; may be repeated.")
]


def _open(name: str, root: Path, rule: str | None, options: list[str] | None) -> Reader:
    from ke2nt.datasets.catalog import get_reader

    return get_reader(name, root, reader_options(options, rule))


@app.command("list")
def list_command(json: JsonFlag = False) -> None:
    """List the datasets that can be read, with their layouts."""
    from ke2nt.datasets.catalog import READERS, describe_reader

    found = [describe_reader(name) for name in READERS]
    if json:
        print_json(found)
        return
    print_table(
        ["name", "n classes", "splits", "options", "description"],
        [
            [
                d["name"],
                len(d["classes"]) or "as found",
                ", ".join(d["splits"]) or "as found",
                ", ".join(f"{key}={value}" for key, value in d["options"].items()),
                d["summary"],
            ]
            for d in found
        ],
    )
    for d in found:
        print_line(f"\n{d['name']}")
        for line in d["expected_tree"].splitlines():
            print_line(f"  {line}")


@app.command("info")
def info_command(
    name: _Name,
    root: _Root,
    rule: _Rule = None,
    option: _Options = None,
    json: JsonFlag = False,
) -> None:
    """Count samples per split and class; the images may still be absent."""
    from ke2nt.datasets.info import dataset_info

    info = dataset_info(_open(name, root, rule, option))
    if json:
        print_json(info)
        return
    _print_counts(info["dataset"], info["splits"])
    for split, facts in info["splits"].items():
        for key, values in facts["attributes"].items():
            shares = ", ".join(f"{value} {count}" for value, count in values.items())
            print_line(f"{split}, {key}: {shares}")


@app.command("check")
def check_command(
    name: _Name,
    root: _Root,
    rule: _Rule = None,
    option: _Options = None,
    split: _Splits = None,
    near: Annotated[bool, typer.Option("--near", help="Look for near-duplicates, too.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 on warnings, not on errors only.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Decoding threads; default: all cores.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Decode every image and look for faults, each with a hint.

    Exits with 1 where a split cannot be used at all (none of its images can be read, or it has no
    sample), and with 0 otherwise. With --strict any warning exits with 1: unreadable or missing
    images, duplicates across splits, subjects in more than one split, absent classes.
    """
    from ke2nt.datasets.check import check_dataset

    report = check_dataset(
        _open(name, root, rule, option), split, near=near, workers=workers, quiet=json
    )
    if json:
        print_json(report.to_dict())
    else:
        _print_counts(report.dataset, report.splits)
        for finding in report.findings:
            print_line(f"\n{finding.level}: {finding.message}. {finding.hint}")
            for example in finding.examples:
                print_line(f"  {example}")
            if finding.count > len(finding.examples):
                print_line(f"  and {finding.count - len(finding.examples)} more")
        if not report.findings:
            print_line("nothing found")
    if not (report.clean if strict else report.usable):
        raise typer.Exit(1)


@app.command("pack")
def pack_command(
    name: _Name,
    root: _Root,
    out: Annotated[Path, typer.Option("--out", help="A new or empty folder.")],
    size: Annotated[int, typer.Option(min=16, max=1024, help="Side in pixels.")] = 112,
    rule: _Rule = None,
    option: _Options = None,
    split: _Splits = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Decoding threads; default: all cores.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Decode every image once, into arrays; read them again with the dataset name `packed`."""
    import os

    from ke2nt.datasets.pack import pack_dataset

    summary = pack_dataset(
        _open(name, root, rule, option),
        out,
        size,
        splits=split,
        workers=workers or os.cpu_count() or 1,
        quiet=json,
    )
    if json:
        print_json(summary)
        return
    rows = [[k, v["samples"], len(v["failed"]), v["bytes"] // 2**20] for k, v in summary.items()]
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
    count: Annotated[int, typer.Option(help="Number of faces over all splits.")] = 2400,
    seed: Annotated[int, typer.Option(min=0, help="Names the whole set.")] = 0,
    size: Annotated[int, typer.Option(help="Side in pixels.")] = 112,
    style: Annotated[
        list[str] | None, typer.Option(help="Drawing style; may be repeated. Default: photo.")
    ] = None,
    masks: Annotated[bool, typer.Option("--masks", help="Also write region masks.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that draw.")] = 1,
    json: JsonFlag = False,
) -> None:
    """Draw a dataset of faces; read it again with the dataset name `manifest`."""
    from ke2nt.drawn.folder import write_folder

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
        [[name, s["faces"], s["identities"]] for name, s in summary["splits"].items()],
    )
    print_line(f"written to {out}")


@app.command("corruptions")
def corruptions_command(
    out: Annotated[Path, typer.Argument(help="PNG file to write.")],
    image: Annotated[
        Path | None, typer.Option("--image", help="A picture of a face. Default: a drawn one.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is drawn.")] = 0,
) -> None:
    """Show a face under every corruption of the dataset `corruptions`, at all severities."""
    from ke2nt.data.images import decode
    from ke2nt.datasets.catalog import get_reader
    from ke2nt.plots.corruption_sheet import plot_corruptions
    from ke2nt.runtime.atomic import write_bytes

    source: Any = image
    if image is None:
        drawn = get_reader("drawn", count=32, size=64, min_intensity=0.8).load("test")
        source = next(s.source for s in drawn.samples if drawn.classes[s.label] == "surprise")
    write_bytes(out, plot_corruptions(decode(source), seed=seed))
    print_line(f"written to {out}")


def _print_counts(dataset: str, splits: dict[str, dict[str, Any]]) -> None:
    classes = list(next(iter(splits.values()))["classes"]) if splits else []
    rows: list[list[object]] = [
        [name, *(facts["classes"][name] for facts in splits.values())] for name in classes
    ]
    for label, key in (
        ("samples", "samples"),
        ("largest / smallest class", "imbalance"),
        ("subjects", "subjects"),
        ("images on disk", "images_present"),
        ("images missing", "images_missing"),
    ):
        if any(facts[key] is not None for facts in splits.values()):
            rows.append([label, *("" if f[key] is None else f[key] for f in splits.values())])
    print_table(["", *(f"{name} #" for name in splits)], rows, title=dataset)
