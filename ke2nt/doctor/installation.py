"""Checks of the installation: packages, devices, extras, caches and the files of the package."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path

import torch
from packaging.requirements import Requirement

from ke2nt._version import __version__
from ke2nt.banks.bank_cache import BankCache
from ke2nt.banks.cache_maintenance import verify
from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.bundled import BUNDLED_FOLDER, bundled_models
from ke2nt.checkpoints.hub import hub_cache
from ke2nt.checkpoints.model_folder import read_folder
from ke2nt.doctor.findings import Finding, run_check
from ke2nt.models.calibration import Calibration
from ke2nt.models.face_weights import converted_file, dlib_package_file, read_converted
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.resources import list_resources
from ke2nt.runtime.cache_folder import cache_folder
from ke2nt.runtime.formatting import first_line

__all__ = ["check_installation"]

_REINSTALL = "pip install --upgrade . in a current clone"
_TRAIN = "ke2nt train ferplus_resnet18 data.root=DIR"
_DEVELOPER_EXTRAS = frozenset({"dev"})


def check_installation() -> list[Finding]:
    """Run every check of the installation."""
    return [
        *_check_packages(),
        *_check_devices(),
        *_check_extras(),
        *_check_caches(),
        *run_check("face weights", "faces", _check_face_weights),
        *_check_package_files(),
    ]


def _check_packages() -> Iterator[Finding]:
    """Compare the installed versions of required packages with what ke2nt needs."""
    versions = f"ke2nt {__version__}, Python {platform.python_version()}, torch {torch.__version__}"
    yield Finding("packages", "versions", "ok", versions)

    required = [each for each in _requirements() if _applies(each)]
    if not required:
        message = "used from a folder, not installed"
        yield Finding("packages", "ke2nt", "note", message, "pip install -e .")
        return

    # one line if all fit, one for each that does not
    problems = [(each, _find_problem(each)) for each in required]
    for requirement, problem in problems:
        if problem is not None:
            fix = f"pip install --upgrade '{requirement.name}{requirement.specifier}'"
            yield Finding("packages", requirement.name, "broken", problem, fix)
    if all(problem is None for _, problem in problems):
        message = f"all {len(required)} required packages have supported versions"
        yield Finding("packages", "required", "ok", message)


def _requirements() -> list[Requirement]:
    """Return the requirements of the installed package, none for a plain folder."""
    try:
        return [Requirement(text) for text in metadata.requires("ke2nt") or ()]
    except metadata.PackageNotFoundError:
        return []


def _applies(requirement: Requirement, extra: str = "") -> bool:
    """Whether a requirement is for this machine and an extra; "" for none."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _find_problem(requirement: Requirement) -> str | None:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return f"{requirement.name} {version} does not satisfy {requirement.specifier}"


def _check_devices() -> Iterator[Finding]:
    """Compute something small on every device."""
    cpu = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    yield Finding("devices", "cpu", "ok", cpu)

    names = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    for name in names:
        yield _check_device(name)

    # a GPU that torch cannot see is the most common surprise
    if not names and shutil.which("nvidia-smi"):
        state = "a CPU build" if torch.version.cuda is None else "unable to use it"
        yield Finding(
            "devices",
            "cuda",
            "note",
            f"there is an NVIDIA driver, but this torch is {state}",
            "pip install --force-reinstall torch torchvision",
        )


def _check_device(name: str) -> Finding:
    title = torch.cuda.get_device_name(name) if name.startswith("cuda") else "Apple GPU"
    try:
        torch.ones(8, 8, device=name).square().sum().item()
    except RuntimeError as error:
        return Finding("devices", name, "broken", f"{title}: {first_line(error)}", "nvidia-smi")
    return Finding("devices", name, "ok", title)


def _check_extras() -> Iterator[Finding]:
    """Check the packages of every extra; missing ones are notes."""
    requirements = _requirements()
    if not requirements:
        return

    for extra in metadata.metadata("ke2nt").get_all("Provides-Extra") or ():
        if extra in _DEVELOPER_EXTRAS:
            continue
        packages = [each for each in requirements if _applies(each, extra) and not _applies(each)]
        problems = [_find_problem(each) for each in packages]
        message = "; ".join(problem for problem in problems if problem is not None)
        if message:
            yield Finding("extras", extra, "note", message, f"pip install 'ke2nt[{extra}]'")
        else:
            yield Finding("extras", extra, "ok", ", ".join(each.name for each in packages))


def _check_caches() -> Iterator[Finding]:
    """Check that caches can be written, and that no text bank is damaged."""
    folder = cache_folder()
    yield _check_writable("text banks", folder, "KE2NT_CACHE")

    entries = verify(BankCache(folder, TextBank))
    damaged = [(entry, problem) for entry, problem in entries if problem is not None]
    for entry, problem in damaged:
        message = f"entry {entry.key[:12]} is damaged: {problem}"
        yield Finding("caches", "bank entries", "broken", message, "ke2nt cache prune")
    if entries and not damaged:
        yield Finding("caches", "bank entries", "ok", f"{len(entries)} entries, none damaged")

    yield _check_writable("hub", hub_cache(), "HF_HUB_CACHE")


def _check_writable(name: str, folder: Path, variable: str) -> Finding:
    """Check that a folder, or the nearest existing one above it, can be written."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK):
        state = "" if folder.exists() else " (does not exist yet)"
        return Finding("caches", name, "ok", f"{folder}{state}")
    message = f"{folder} is not writable"
    return Finding("caches", name, "broken", message, f"export {variable}=DIR")


def _check_face_weights() -> Iterator[Finding]:
    """Say which weights of face recognition are on this machine."""
    converted, package = converted_file(), dlib_package_file()
    if converted.is_file():
        read_converted(converted)
        message = f"dlib's face network, converted: {converted}"
        yield Finding("face weights", "faces", "ok", message)
    elif package is not None and package.is_file():
        message = "dlib's face network is installed, and converted on first use"
        yield Finding("face weights", "faces", "ok", message)
    else:
        message = "none; model.weights=faces needs dlib's face network"
        yield Finding("face weights", "faces", "note", message, "pip install 'ke2nt[faces]'")


def _check_package_files() -> Iterator[Finding]:
    """Read the shipped prompt sets and models."""
    prompts = list_resources("prompts")
    yield from run_check(
        "package files", "prompts", partial(_read_prompts, prompts), fix=_REINSTALL
    )
    if not prompts or not list_resources("configs"):
        message = "the shipped prompts or configurations are missing"
        yield Finding("package files", "prompts", "broken", message, _REINSTALL)

    models = bundled_models()
    if not models:
        message = "this installation has no trained model"
        yield Finding("package files", "models", "note", message, _TRAIN)
    for name in models:
        for finding in run_check("package files", f"ke2nt/{name}", partial(_read_model, name)):
            yield finding if finding.level == "ok" else replace(finding, fix=_REINSTALL)


def _read_prompts(names: Mapping[str, Path]) -> Iterator[Finding]:
    for name in names:
        PromptSet.load(name)
    yield Finding("package files", "prompts", "ok", f"{len(names)} prompt sets")


def _read_model(name: str) -> Iterator[Finding]:
    saved = read_folder(BUNDLED_FOLDER / name)
    if saved.calibration is not None:
        Calibration.from_dict(saved.calibration, where=saved.config_file)
    yield Finding("package files", f"ke2nt/{name}", "ok", "all files match their digests")
