"""`ke2nt app`."""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from ke2nt.cli.names import check_detector_name, check_model_name
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.options import (
    DatasetOptions,
    DetectorOption,
    DeviceOption,
    PriorOption,
    TextEncoderOption,
    resolve_device,
)
from ke2nt.cli.output import print_line
from ke2nt.errors import MissingExtraError

if TYPE_CHECKING:
    from ke2nt.app.prompt_trials import PromptTrials
    from ke2nt.app.vocabulary import Vocabulary
    from ke2nt.models.base import ExpressionModel
    from ke2nt.predict.detections import Detector

__all__ = ["app"]


@dataclass(frozen=True)
class _TrialData(DatasetOptions):
    dataset: Annotated[
        str, typer.Option("--dataset", help="Dataset for the second tab. Default: drawn faces.")
    ] = "drawn"
    split: Annotated[str, typer.Option("--split", help="Dataset split.")] = "val"


@with_option_groups
def app(
    data: _TrialData,
    model: Annotated[
        str, typer.Argument(help="A model of the package, a run directory, a folder or a hub id.")
    ] = "ke2nt/ferplus-faces",
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for the whole network.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help="Port. Default: the first free from 7860."),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open a browser.")
    ] = False,
    text_encoder: TextEncoderOption = None,
    prior: PriorOption = None,
    detector: DetectorOption = "centerface",
    device: DeviceOption = None,
) -> None:
    """Open a page in the browser: change the words and see what the model predicts for a face.

    Example: ke2nt app --dataset ferplus --root DIR --rule majority
    """
    # names are checked before torch is imported
    check_model_name(model)
    check_detector_name(detector)
    data.open_reader()

    from ke2nt.app.backend import AppBackend
    from ke2nt.app.server import serve
    from ke2nt.app.vocabulary import Vocabulary
    from ke2nt.models.load import load_model
    from ke2nt.models.set_prior import set_prior

    # device and model first: they fail before the page opens
    compute_device = resolve_device(device)
    loaded = load_model(model)
    if prior is not None:
        set_prior(loaded, prior)
    _warn_if_public(host)

    # uploads and text banks of typed words live only as long as the page
    with TemporaryDirectory(prefix="ke2nt-app-") as name:
        folder = Path(name)
        vocabulary = Vocabulary(loaded, folder, text_encoder)
        backend = AppBackend(
            model,
            loaded,
            detector=_load_detector(detector),
            device=compute_device,
            vocabulary=vocabulary,
            trials=_build_trials(model, loaded, vocabulary, folder, compute_device, data),
        )
        serve(
            backend,
            folder=folder,
            host=host,
            port=port,
            browser=not no_browser,
            ready=lambda url: print_line(f"The app is open at {url} (Ctrl-C closes it)"),
        )


def _build_trials(
    name: str,
    model: ExpressionModel,
    vocabulary: Vocabulary,
    folder: Path,
    device: str,
    data: DatasetOptions,
) -> PromptTrials | None:
    """Return the second tab's trials; None for a model without text."""
    from ke2nt.app.prompt_trials import PromptTrials

    # the dataset is checked now, its images are decoded when the tab is used
    reader = data.open_reader()
    if model.bank is None:
        return None
    return PromptTrials(
        name,
        lambda: reader.load(data.split).spread(data.limit),
        title=f"{data.dataset} {data.split}",
        encoder=lambda: vocabulary.encoder,
        folder=folder,
        device=device,
    )


def _load_detector(spec: str) -> Detector | None:
    """Return the face detector, or None with a note if its package is not installed."""
    from ke2nt.predict.detectors import get_detector

    try:
        return get_detector(spec)
    except MissingExtraError as error:
        print(f"note: {error}; every image is treated as one face", file=sys.stderr)
        return None


def _warn_if_public(host: str) -> None:
    # a host name other than localhost may lead anywhere
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    if not is_local:
        print(
            f"note: anyone who can reach this machine at {host} can use the app; there is no "
            "password",
            file=sys.stderr,
        )
