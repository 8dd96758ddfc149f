"""What is broken in an installation, a model or a dataset, and the command that mends it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import torch
from packaging.requirements import Requirement

from ke2nt._version import __version__
from ke2nt.banks.bank_cache import BankCache
from ke2nt.banks.cache_maintenance import verify
from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.bundled import BUNDLED_FOLDER, bundled_models
from ke2nt.checkpoints.hub import hub_cache
from ke2nt.checkpoints.model_folder import find_model_folder, read_folder
from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.info import split_info
from ke2nt.errors import Ke2ntError
from ke2nt.models.calibration import Calibration
from ke2nt.models.load import load_model
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.resources import list_resources
from ke2nt.runtime.cache_folder import cache_folder

__all__ = ["Finding", "examine"]

Level = Literal["ok", "note", "broken"]
_REINSTALL = "pip install --force-reinstall ke2nt"
_TRAIN = "ke2nt train ferplus_resnet18 data.root=DIR"
_NOT_FOR_USERS = frozenset({"dev"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: packages, devices, extras, caches, package files, model or dataset.
        name: What was looked at.
        level: "ok"; "note": it works, but something is absent that may be wanted; "broken".
        message: What was found.
        mend: What to type, or None.
    """

    area: str
    name: str
    level: Level
    message: str
    mend: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return asdict(self)


def examine(
    model: str | None = None,
    dataset: str | None = None,
    root: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Look at the installation, and at a model and a dataset where they are named.

    Args:
        model: A run directory, a model's folder, a model of the package or a hub id.
        dataset: A key of `ke2nt.datasets.catalog.READERS`.
        root: The dataset's folder.
        options: Options of its reader.
    """
    found = [*_packages(), *_devices(), *_extras(), *_caches(), *_package_files()]
    if model is not None:
        found += _guarded(
            "model", model, partial(_model, model), mend="ke2nt doctor ke2nt/ferplus-resnet18"
        )
    if dataset is not None:
        look = partial(_dataset, dataset, root, options or {})
        found += _guarded("dataset", dataset, look, mend=f"ke2nt data info {dataset} DIR")
    return found


def _guarded(
    area: str, name: str, look: Callable[[], Iterator[Finding]], *, mend: str | None = None
) -> list[Finding]:
    """The findings; an error is one too, mended by its hint or else by `mend`."""
    found: list[Finding] = []
    try:
        found.extend(look())
    except Ke2ntError as error:
        text = str(error).removesuffix(f". {error.hint}") if error.hint else str(error)
        found.append(Finding(area, name, "broken", text, error.hint or mend))
    return found


def _requirements() -> list[Requirement]:
    try:
        return [Requirement(text) for text in metadata.requires("ke2nt") or ()]
    except metadata.PackageNotFoundError:
        return []


def _problem(requirement: Requirement) -> str | None:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return f"{requirement.name} {version} does not fit {requirement.specifier}"


def _packages() -> Iterator[Finding]:
    yield Finding(
        "packages",
        "versions",
        "ok",
        f"ke2nt {__version__}, Python {platform.python_version()}, torch {torch.__version__}",
    )
    needed = [r for r in _requirements() if r.marker is None or r.marker.evaluate({"extra": ""})]
    if not needed:
        yield Finding(
            "packages", "ke2nt", "note", "used from a folder, not installed", "pip install -e ."
        )
    wrong = {r: problem for r in needed if (problem := _problem(r))}
    for requirement, problem in wrong.items():
        mend = f"pip install --upgrade '{requirement.name}{requirement.specifier}'"
        yield Finding("packages", requirement.name, "broken", problem, mend)
    if needed and not wrong:
        yield Finding("packages", "required", "ok", f"all {len(needed)} required packages fit")


def _devices() -> Iterator[Finding]:
    yield Finding(
        "devices", "cpu", "ok", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    )
    names = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    for name in names:
        title = torch.cuda.get_device_name(name) if name.startswith("cuda") else "Apple GPU"
        try:
            torch.ones(8, 8, device=name).square().sum().item()
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            yield Finding("devices", name, "broken", f"{title}: {reason}", "nvidia-smi")
        else:
            yield Finding("devices", name, "ok", title)
    if not names and shutil.which("nvidia-smi"):
        kind = "a CPU build" if torch.version.cuda is None else "unable to use it"
        yield Finding(
            "devices",
            "cuda",
            "note",
            f"there is an NVIDIA driver, but this torch is {kind}",
            "pip install --force-reinstall torch torchvision",
        )


def _extras() -> Iterator[Finding]:
    extras: dict[str, list[Requirement]] = {}
    for extra in metadata.metadata("ke2nt").get_all("Provides-Extra") or () if _installed() else ():
        extras[extra] = [
            r
            for r in _requirements()
            if r.marker is not None
            and r.marker.evaluate({"extra": extra})
            and not r.marker.evaluate({"extra": ""})
        ]
    for extra, needed in extras.items():
        if extra in _NOT_FOR_USERS:
            continue
        wrong = [problem for r in needed if (problem := _problem(r))]
        if wrong:
            mend = f"pip install 'ke2nt[{extra}]'"
            yield Finding("extras", extra, "note", "; ".join(wrong), mend)
        else:
            yield Finding("extras", extra, "ok", ", ".join(r.name for r in needed))


def _installed() -> bool:
    return bool(_requirements())


def _caches() -> Iterator[Finding]:
    folder = cache_folder()
    yield from _writable("text banks", folder, "KE2NT_CACHE")
    entries = verify(BankCache(folder, TextBank))
    bad = [(entry, problem) for entry, problem in entries if problem is not None]
    for entry, problem in bad:
        message = f"entry {entry.key[:12]} is damaged: {problem}"
        yield Finding("caches", "bank entries", "broken", message, "ke2nt cache prune")
    if entries and not bad:
        yield Finding("caches", "bank entries", "ok", f"{len(entries)} entries, all sound")
    yield from _writable("hub", hub_cache(), "HF_HUB_CACHE")


def _writable(name: str, folder: Path, variable: str) -> Iterator[Finding]:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK):
        state = "" if folder.exists() else " (not made yet)"
        yield Finding("caches", name, "ok", f"{folder}{state}")
    else:
        message = f"{folder} cannot be written"
        yield Finding("caches", name, "broken", message, f"export {variable}=DIR")


def _package_files() -> Iterator[Finding]:
    names = list_resources("prompts")
    found = _guarded("package files", "prompts", partial(_prompt_sets, names), mend=_REINSTALL)
    configs = list_resources("configs")
    if not names or not configs:
        message = "the shipped prompts or configurations are absent"
        found.append(Finding("package files", "prompts", "broken", message, _REINSTALL))
    yield from found
    models = bundled_models()
    if not models:
        yield Finding(
            "package files",
            "models",
            "note",
            "this installation carries no trained model",
            _TRAIN,
        )
    for name in models:
        for item in _guarded("package files", f"ke2nt/{name}", partial(_sound, name)):
            yield item if item.level == "ok" else replace(item, mend=_REINSTALL)


def _prompt_sets(names: Mapping[str, Path]) -> Iterator[Finding]:
    for name in names:
        PromptSet.load(name)
    yield Finding("package files", "prompts", "ok", f"{len(names)} prompt sets")


def _sound(name: str) -> Iterator[Finding]:
    saved = read_folder(BUNDLED_FOLDER / name)
    if saved.calibration is not None:
        Calibration.from_dict(saved.calibration, where=saved.config_file)
    yield Finding("package files", f"ke2nt/{name}", "ok", "all files are as they were saved")


def _model(name: str) -> Iterator[Finding]:
    folder = find_model_folder(name)
    model = load_model(folder)
    bad = [n for n, tensor in model.state_dict().items() if not tensor.float().isfinite().all()]
    size = model.preprocessing.image_size
    gray = torch.full((1, 3, size, size), 128, dtype=torch.uint8)
    with torch.inference_mode():
        logits = model(model.preprocessing.normalize(gray)).logits
    if bad or not logits.isfinite().all():
        reason = f"weights such as {bad[0]} are not finite" if bad else "its answers are not finite"
        yield Finding("model", name, "broken", reason, f"ke2nt train --resume {name}")
        return
    yield Finding(
        "model", name, "ok", f"{len(model.classes)} classes, {size} px: {', '.join(model.classes)}"
    )
    calibration = model.calibration
    if calibration is None:
        mend = f"ke2nt calibrate {name} --dataset NAME --root DIR --split val"
        yield Finding("model", "calibration", "note", "its probabilities are raw scores", mend)
    elif calibration.transferred:
        message = "fitted for other class texts; only a guess for these"
        yield Finding("model", "calibration", "note", message)
    else:
        on = calibration.fitted_on
        message = f"{calibration.method} scaling, fitted on {on.get('dataset')} {on.get('split')}"
        yield Finding("model", "calibration", "ok", message)


def _dataset(name: str, root: str | Path | None, options: Mapping[str, Any]) -> Iterator[Finding]:
    reader = get_reader(name, root, options)
    facts = {split: split_info(reader.index(split)) for split in reader.splits}
    none = not any(split["images_present"] for split in facts.values())
    for split, counts in facts.items():
        there, absent = counts["images_present"], counts["images_missing"]
        level: Level = "broken" if none else "note" if absent else "ok"
        yield Finding(
            "dataset",
            f"{name} {split}",
            level,
            f"{there:,} images" + (f", {absent:,} are missing" if absent else ""),
            None if level == "ok" else f"ke2nt data check {name} {reader.root} --split {split}",
        )
