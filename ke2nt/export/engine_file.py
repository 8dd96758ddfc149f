"""The ONNX file that stands for a model: exported before, or once into the cache."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ke2nt.checkpoints.find_model import find_model_folder, is_onnx_name
from ke2nt.checkpoints.folder_config import CONFIG, read_config
from ke2nt.errors import CheckpointError, ModelError
from ke2nt.export.ort import OnnxRecognizer
from ke2nt.runtime.cache_folder import cache_folder, make_cache_folder

__all__ = ["network_key", "open_engine_file"]

_FORMAT = 1  # of the files in the cache
_EXPORTED = "model.onnx"  # where `ke2nt export RUN` writes


def network_key(config: Mapping[str, Any]) -> str:
    """Return a digest of everything that decides the network of a saved model.

    Calibration and card are left out: they may change after the export.

    Args:
        config: The model's config.json.
    """
    parts = {key: config[key] for key in ("digests", "architecture", "preprocessing")}
    text = json.dumps({"format": _FORMAT, **parts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def open_engine_file(name: str | Path, *, threads: int = 0) -> OnnxRecognizer:
    """Open the ONNX file of a model, without torch if the model has one.

    Of a folder or name, calibration and card are those of its config.json; the file that
    `ke2nt export RUN` wrote is used if it is of the same weights. Otherwise the model is exported
    into the cache, once.

    Args:
        name: An ONNX file, or any name that `find_model_folder` takes.
        threads: Threads per call; 0 for as many as `count_threads` says.

    Raises:
        CheckpointError: There is no such model or file.
        ModelError: The file was not written by `ke2nt export`.
        MissingExtraError: onnxruntime, or for an export onnxscript, is not installed.
    """
    if is_onnx_name(name):
        if not Path(name).expanduser().is_file():
            raise CheckpointError("no such ONNX file", where=name)
        return OnnxRecognizer(Path(name).expanduser(), threads=threads)

    folder = find_model_folder(name)
    config = read_config(folder / CONFIG)
    key = network_key(config)
    exported = _open_exported(folder, key, threads)
    if exported is None:
        exported = _open_cached(_export_into_cache(name, folder, key), threads)

    # these may have changed since
    exported.facts["calibration"] = config.get("calibration")
    exported.facts["familiarity"] = config.get("familiarity")
    exported.facts["card"] = config.get("card") or {}
    return exported


def _open_exported(folder: Path, key: str, threads: int) -> OnnxRecognizer | None:
    """The file beside a model, if it is of the same weights."""
    for path in (folder.parent / _EXPORTED, folder / _EXPORTED):
        if not path.is_file():
            continue
        try:
            exported = OnnxRecognizer(path, threads=threads)
        except ModelError:  # not ours, or damaged
            continue
        if exported.facts.get("source") == key:
            return exported
    return None


def _open_cached(path: Path, threads: int) -> OnnxRecognizer:
    try:
        return OnnxRecognizer(path, threads=threads)
    except ModelError as error:
        raise ModelError(
            "a file of the cache is damaged",
            where=path,
            found=error.found,
            hint="Delete it; it is made again.",
        ) from error


def _export_into_cache(name: str | Path, folder: Path, key: str) -> Path:
    """Export a model unless the cache has it."""
    path = cache_folder() / "onnx" / f"{key[:32]}.onnx"
    if path.is_file():
        return path

    make_cache_folder("onnx")
    # torch is needed this once
    from ke2nt.export.onnx_export import export_onnx
    from ke2nt.models.load import load_model

    print(f"exporting {name} to ONNX, once: {path}", file=sys.stderr)
    export_onnx(load_model(folder), path, source=key)
    return path
