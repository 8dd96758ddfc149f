"""`ke2nt export`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.names import check_model_name
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.options import LimitOption, OutputOptions, PriorOption, ReaderOptions
from ke2nt.cli.output import print_json, print_line
from ke2nt.errors import ConfigError
from ke2nt.runtime.formatting import percent

if TYPE_CHECKING:
    from ke2nt.data.tensors import FaceTensors
    from ke2nt.datasets.base import Reader
    from ke2nt.models.base import ExpressionModel

__all__ = ["export"]

_RANGE_IMAGES = 256  # images that the ranges of 8-bit numbers are measured on


class _Format(StrEnum):
    onnx = "onnx"
    bundle = "bundle"
    hub = "hub"


@dataclass(frozen=True)
class _DatasetName:
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Faces to measure on (--int8, bundle).")
    ] = None


@dataclass(frozen=True)
class _MeasureOptions(ReaderOptions, _DatasetName):
    """Faces on which the exported model is compared with the original."""

    split: Annotated[str, typer.Option("--split", help="Split to measure on.")] = "val"
    ranges_split: Annotated[
        str, typer.Option("--ranges-split", help="--int8: split that number ranges come from.")
    ] = "train"
    limit: LimitOption = None

    def open_reader(self) -> Reader:
        """Return the reader of the dataset.

        Raises:
            ConfigError: No dataset is named.
            DataError: The dataset's name, folder, options or splits are not valid.
        """
        from ke2nt.datasets.catalog import get_reader

        if self.dataset is None:
            raise ConfigError(
                "comparing the exported model needs a dataset",
                expected="--dataset, and --root for one on disk",
                hint="For example: --dataset ferplus --root DIR --split val",
            )
        reader = get_reader(self.dataset, self.root, self.reader_options())
        reader.check_split(self.split)
        return reader

    def decode(
        self, model: ExpressionModel, split: str, limit: int | None, *, quiet: bool
    ) -> FaceTensors:
        """Return a split, decoded for the model: uint8 (N, 3, S, S) at its size."""
        from ke2nt.evaluation.evaluate_model import decode_for_model

        images = self.open_reader().load(split).spread(limit)
        return decode_for_model(model, images, quiet=quiet)


@dataclass(frozen=True)
class _SharingOptions:
    """Options of bundle and hub."""

    name: Annotated[
        str | None, typer.Option("--name", help="bundle: a short name. hub: user/name.")
    ] = None
    metrics: Annotated[
        list[Path] | None,
        typer.Option("--metrics", help="metrics.json for the model card; may be repeated."),
    ] = None
    max_changed: Annotated[
        int,
        typer.Option("--max-changed", min=0, help="bundle: maximum number of changed predictions."),
    ] = 0
    max_difference: Annotated[
        float,
        typer.Option("--max-difference", help="bundle: maximum change of a probability."),
    ] = 0.01
    private: Annotated[bool, typer.Option("--private", help="hub: a private repository.")] = False
    half: Annotated[bool, typer.Option("--half", help="hub: half-precision weights.")] = False


@dataclass(frozen=True)
class _Export:
    """What was written: facts for --json, and lines for people."""

    facts: dict[str, Any]
    lines: list[str]


@with_option_groups
def export(
    run: Annotated[str, typer.Argument(help="A run directory, a model's folder or its name.")],
    sharing: _SharingOptions,
    measure: _MeasureOptions,
    output: OutputOptions,
    format: Annotated[
        _Format,
        typer.Option("--format", help="A file for services, a folder to copy, or the hub."),
    ] = _Format.onnx,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file (onnx) or folder (bundle) to write.")
    ] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="onnx: also write a file in 8-bit integers, and compare it."),
    ] = False,
    prior: PriorOption = None,
) -> None:
    """Write a model for use elsewhere.

    onnx: uint8 RGB faces (batch, S, S, 3) in, calibrated probabilities out, compared with the
    model. bundle: a half-precision folder with its card, compared likewise. hub: the same folder on
    the Hugging Face Hub.

    Example: ke2nt export runs/ferplus --format onnx --out ferplus.onnx
    """
    if sharing.half and format is not _Format.hub:
        raise ConfigError("--half needs --format hub", found=f"--format {format.value}")
    if prior is not None and format is not _Format.onnx:
        raise ConfigError("--prior needs --format onnx", found=f"--format {format.value}")
    if sharing.name is None and format is not _Format.onnx:
        raise ConfigError(f"--format {format.value} needs a name", expected="--name NAME")

    # each format checks its own options, then writes
    check_model_name(run)
    quiet = output.hides_progress
    if format is _Format.onnx:
        path = out or _default_file(run)
        result = _export_onnx(run, path, measure, prior=prior, int8=int8, quiet=quiet)
    elif format is _Format.bundle:
        result = _export_bundle(run, out, sharing, measure, quiet=quiet)
    else:
        result = _push_to_hub(run, sharing)

    if output.json:
        print_json({"format": format.value, "model": run, **result.facts})
        return
    for line in result.lines:
        print_line(line)


def _export_onnx(
    run: str,
    path: Path,
    measure: _MeasureOptions,
    *,
    prior: str | None,
    int8: bool,
    quiet: bool,
) -> _Export:
    """Write an ONNX file, and on request one in 8-bit integers beside it."""
    if int8:
        measure.open_reader()

    from ke2nt.checkpoints.find_model import find_model_folder
    from ke2nt.checkpoints.folder_config import CONFIG, read_config
    from ke2nt.export.engine_file import network_key
    from ke2nt.export.onnx_export import export_onnx
    from ke2nt.models.load import load_model
    from ke2nt.models.set_prior import set_prior

    # images are decoded first: without them nothing is written
    model = load_model(run)
    if prior is not None:
        set_prior(model, prior)
    images = examples = None
    if int8:
        images = measure.decode(model, measure.split, measure.limit, quiet=quiet)
        examples = measure.decode(model, measure.ranges_split, _RANGE_IMAGES, quiet=quiet)

    config = read_config(find_model_folder(run) / CONFIG)
    parity = export_onnx(model, path, source=network_key(config))
    size = path.stat().st_size
    facts: dict[str, Any] = {"file": str(path), "bytes": size, "parity": parity.to_dict()}
    lines = [
        f"written: {path} ({size / 1e6:.1f} MB); probabilities within "
        f"{parity.max_difference:.1e} of the model's"
    ]
    if images is not None and examples is not None:
        facts["int8"], line = _export_int8(model, path, images, examples)
        lines.append(line)
    return _Export(facts, lines)


def _export_int8(
    model: ExpressionModel, path: Path, images: FaceTensors, examples: FaceTensors
) -> tuple[dict[str, Any], str]:
    """Write the 8-bit file and compare its predictions with the model's."""
    from ke2nt.evaluation.predictions import compute_predictions
    from ke2nt.export.compare import compare_probabilities, find_labels
    from ke2nt.export.onnx_export import export_int8, predict_onnx
    from ke2nt.export.ort import OnnxRecognizer

    # 8-bit predictions are compared with those of the model, not of the other file
    small = path.with_suffix(".int8.onnx")
    export_int8(path, small, examples)
    before = compute_predictions(model, images, precision="fp32")
    after = predict_onnx(OnnxRecognizer(small), images)
    loss = compare_probabilities(before.probabilities, after, find_labels(before))

    size = small.stat().st_size
    facts = {"file": str(small), "bytes": size, **loss.to_dict()}
    return facts, f"written: {small} ({size / 1e6:.1f} MB); {_describe_loss(loss)}"


def _export_bundle(
    run: str, out: Path | None, sharing: _SharingOptions, measure: _MeasureOptions, *, quiet: bool
) -> _Export:
    """Write a half-precision folder with its card."""
    from ke2nt.checkpoints.bundled import BUNDLED_FOLDER
    from ke2nt.export.bundle import bundle_model, load_for_sharing

    assert sharing.name is not None
    name = sharing.name.removeprefix("ke2nt/")
    if not name.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(
            "names of bundled models consist of letters, digits, - and _", found=repr(name)
        )

    # the folder is written only if the comparison stays within the limits
    folder = out or BUNDLED_FOLDER / name
    model = load_for_sharing(run, name=f"ke2nt/{name}", metrics=sharing.metrics or ())
    loss = bundle_model(
        model,
        folder,
        measure.decode(model, measure.split, measure.limit, quiet=quiet),
        max_changed=sharing.max_changed,
        max_difference=sharing.max_difference,
    )
    size = sum(file.stat().st_size for file in folder.iterdir())
    facts = {"folder": str(folder), "bytes": size, "half_precision": loss.to_dict()}
    return _Export(facts, [f"written: {folder} ({size / 1e6:.1f} MB); {_describe_loss(loss)}"])


def _push_to_hub(run: str, sharing: _SharingOptions) -> _Export:
    """Upload the model's folder."""
    import torch

    from ke2nt.export.bundle import load_for_sharing
    from ke2nt.models.load import push_to_hub

    # half precision halves the download; the weights are read back in full
    assert sharing.name is not None
    model = load_for_sharing(run, name=sharing.name, metrics=sharing.metrics or ())
    dtype = torch.float16 if sharing.half else torch.float32
    commit = push_to_hub(model, sharing.name, private=sharing.private, dtype=dtype)
    return _Export({"hub": sharing.name, "commit": commit}, [f"uploaded: {commit}"])


def _default_file(run: str) -> Path:
    """Return the ONNX file inside a run directory, or in the current folder for other models."""
    folder = Path(run)
    if (folder / "model" / "config.json").is_file():
        return folder / "model.onnx"
    return Path(f"{folder.name or 'model'}.onnx")


def _describe_loss(loss: Any) -> str:
    text = (
        f"{loss.changed} of {loss.n} predictions changed, probabilities within "
        f"{loss.max_difference:.2g}"
    )
    if loss.accuracy_before is None:
        return text

    metrics = (
        ("accuracy", loss.accuracy_before, loss.accuracy_after),
        ("UAR", loss.uar_before, loss.uar_after),
        ("ECE", loss.ece_before, loss.ece_after),
    )
    changes = [
        f"{name} {percent(before, 2)} before, {percent(after, 2)} after"
        for name, before, after in metrics
    ]
    return "; ".join([text, *changes])
