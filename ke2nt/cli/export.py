"""`ke2nt export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.options import (
    LimitOption,
    QuietFlag,
    ReaderOptions,
    RootOption,
    RuleOption,
    reader_options,
    spread,
)
from ke2nt.cli.output import JsonFlag, print_json, print_line
from ke2nt.errors import ConfigError
from ke2nt.runtime.formatting import percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from ke2nt.data.tensors import FaceTensors

    Loader = Callable[[Any, str, int | None], FaceTensors]

__all__ = ["export"]

_RANGES = 256  # images that the ranges of 8-bit numbers are taken from


class _Format(StrEnum):
    onnx = "onnx"
    bundle = "bundle"
    hub = "hub"


def export(
    run: Annotated[str, typer.Argument(help="A run directory, a model's folder or its name.")],
    format: Annotated[
        _Format,
        typer.Option("--format", help="A file for services, a folder to carry, or the hub."),
    ] = _Format.onnx,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file (onnx) or folder (bundle) to write.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="bundle: a short name. hub: user/name.")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="onnx: a second file in 8-bit integers, measured.")
    ] = False,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Faces to measure on (--int8, bundle).")
    ] = None,
    root: RootOption = None,
    split: Annotated[str, typer.Option("--split", help="The split to measure on.")] = "val",
    ranges_split: Annotated[
        str, typer.Option("--ranges-split", help="--int8: where the ranges of numbers come from.")
    ] = "train",
    rule: RuleOption = None,
    option: ReaderOptions = None,
    limit: LimitOption = None,
    metrics: Annotated[
        list[Path] | None,
        typer.Option("--metrics", help="Figures for the card: a metrics.json; may be repeated."),
    ] = None,
    max_changed: Annotated[
        int, typer.Option("--max-changed", min=0, help="bundle: most answers that may change.")
    ] = 0,
    max_difference: Annotated[
        float, typer.Option("--max-difference", help="bundle: largest change of a probability.")
    ] = 0.01,
    private: Annotated[bool, typer.Option("--private", help="hub: a private repository.")] = False,
    half: Annotated[bool, typer.Option("--half", help="hub: half-precision weights.")] = False,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Write a model for use elsewhere.

    onnx: uint8 RGB faces (batch, S, S, 3) in, calibrated probabilities out, checked against the
    model. bundle: a half-precision folder with its card, checked likewise. hub: the same folder on
    the Hugging Face Hub.

    Example: ke2nt export runs/ferplus --format onnx --out ferplus.onnx
    """

    def load(model: Any, which: str, most: int | None) -> FaceTensors:
        from ke2nt.datasets.catalog import get_reader
        from ke2nt.evaluation.evaluate_model import decode_for_model

        if dataset is None:
            raise ConfigError(
                "faces are needed to measure what is lost",
                expected="--dataset, and --root for one on disk",
                hint="Such as: --dataset ferplus --root DIR --split val",
            )
        reader = get_reader(dataset, root, reader_options(option, rule))
        return decode_for_model(model, spread(reader.load(which), most), quiet=quiet or json)

    if half and format is not _Format.hub:
        raise ConfigError("--half goes with --format hub", found=f"--format {format.value}")
    if format is _Format.onnx:
        facts = _onnx(run, out, load, (split, limit), ranges_split if int8 else None)
    elif name is None:
        raise ConfigError(f"--format {format.value} needs a name", expected="--name NAME")
    elif format is _Format.bundle:
        facts = _bundle(run, out, name, load, (split, limit), metrics, max_changed, max_difference)
    else:
        facts = _hub(run, name, metrics, private, half)
    lines = facts.pop("lines")
    if json:
        print_json({"format": format.value, "model": run, **facts})
        return
    for line in lines:
        print_line(line)


def _onnx(
    run: str, out: Path | None, load: Loader, measured: tuple[str, int | None], ranges: str | None
) -> dict[str, Any]:
    from ke2nt.evaluation.predictions import compute_predictions
    from ke2nt.export.compare import compare_probabilities, find_labels
    from ke2nt.export.onnx_export import export_int8, export_onnx, predict_onnx
    from ke2nt.export.ort import OnnxRecognizer
    from ke2nt.models.load import load_model

    model = load_model(run)
    path = out or _default_file(run)
    samples = None if ranges is None else (load(model, *measured), load(model, ranges, _RANGES))
    parity = export_onnx(model, path)
    size = path.stat().st_size
    facts: dict[str, Any] = {"file": str(path), "bytes": size, "parity": parity.to_dict()}
    lines = [
        f"written: {path} ({size / 1e6:.1f} MB); probabilities within "
        f"{parity.max_difference:.1e} of the model's"
    ]
    if samples is not None:
        images, examples = samples
        small = path.with_suffix(".int8.onnx")
        export_int8(path, small, examples)
        before = compute_predictions(model, images, precision="fp32")
        after = predict_onnx(OnnxRecognizer(small), images)
        loss = compare_probabilities(before.probabilities, after, find_labels(before))
        size = small.stat().st_size
        facts["int8"] = {"file": str(small), "bytes": size, **loss.to_dict()}
        lines.append(f"written: {small} ({size / 1e6:.1f} MB); {_words(loss)}")
    return {**facts, "lines": lines}


def _bundle(
    run: str,
    out: Path | None,
    name: str,
    load: Loader,
    measured: tuple[str, int | None],
    metrics: list[Path] | None,
    max_changed: int,
    max_difference: float,
) -> dict[str, Any]:
    from ke2nt.checkpoints.bundled import BUNDLED_FOLDER
    from ke2nt.export.bundle import bundle_model, load_for_sharing

    short = name.removeprefix("ke2nt/")
    if not short.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(
            "a name of the package's models has letters, digits, - and _", found=repr(name)
        )
    folder = out or BUNDLED_FOLDER / short
    model = load_for_sharing(run, name=f"ke2nt/{short}", metrics=metrics or ())
    images = load(model, *measured)
    loss = bundle_model(
        model, folder, images, max_changed=max_changed, max_difference=max_difference
    )
    size = sum(file.stat().st_size for file in folder.iterdir())
    return {
        "folder": str(folder),
        "bytes": size,
        "half_precision": loss.to_dict(),
        "lines": [f"written: {folder} ({size / 1e6:.1f} MB); {_words(loss)}"],
    }


def _hub(
    run: str, name: str, metrics: list[Path] | None, private: bool, half: bool
) -> dict[str, Any]:
    import torch

    from ke2nt.export.bundle import load_for_sharing
    from ke2nt.models.load import push_to_hub

    model = load_for_sharing(run, name=name, metrics=metrics or ())
    dtype = torch.float16 if half else torch.float32
    commit = push_to_hub(model, name, private=private, dtype=dtype)
    return {"hub": name, "commit": commit, "lines": [f"sent: {commit}"]}


def _default_file(run: str) -> Path:
    folder = Path(run)
    if (folder / "model" / "config.json").is_file():
        return folder / "model.onnx"
    return Path(f"{folder.name or 'model'}.onnx")


def _words(loss: Any) -> str:
    text = (
        f"{loss.changed} of {loss.n} answers changed, probabilities within "
        f"{loss.max_difference:.2g}"
    )
    if loss.accuracy_before is None:
        return text
    before, after = percent(loss.accuracy_before, 2), percent(loss.accuracy_after, 2)
    return f"{text}; accuracy {before} before, {after} after"
