"""Named tensors of a weights file. Code in a file is never run."""

from __future__ import annotations

import argparse
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ke2nt.errors import CheckpointError
from ke2nt.runtime.atomic import write_bytes
from ke2nt.runtime.file_content import check_content, is_safetensors, is_text
from ke2nt.runtime.formatting import first_line
from ke2nt.runtime.pickled_tensors import Inert, is_torchscript, read_archive, tensors_of_module

__all__ = ["read_metadata", "read_safetensors", "read_tensor_groups", "write_safetensors"]

_TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
_DEPTH = 3  # mappings around a state dict
_LISTED = 8  # values of a list in which state dicts are looked for


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file, to the CPU.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _check_is_file(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            "the safetensors file cannot be read",
            where=path,
            found=error,
            hint="It is cut short or damaged: download or copy it again.",
        ) from error


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file, {} if it has none.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    _check_is_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            "the safetensors file cannot be read",
            where=path,
            found=error,
            hint="It is cut short or damaged: download or copy it again.",
        ) from error


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, dtype: torch.dtype
) -> None:
    """Write tensors as a safetensors file, floating ones in one dtype.

    Raises:
        CheckpointError: A value is out of the range of that dtype.
    """
    from safetensors.torch import save

    stored = {}
    for name, tensor in tensors.items():
        target = dtype if tensor.is_floating_point() else tensor.dtype
        # copies, as safetensors refuses tensors that share memory
        copied = tensor.detach().to("cpu", target, copy=True, memory_format=torch.contiguous_format)
        if target != tensor.dtype and not copied.isfinite().all():
            raise CheckpointError(
                f"the weight {name} is out of the range of {target}",
                found=f"a largest value of {float(tensor.abs().max()):.3g}",
                hint="Save it in float32.",
            )
        stored[name] = copied

    # not save_file, whose files only the owner can read
    write_bytes(path, save(stored, dict(metadata)))


def read_tensor_groups(path: Path) -> dict[str, dict[str, Tensor]]:
    """Read every group of named tensors in a weights file.

    The content decides how a file is read, not its suffix. Whole modules, TorchScript archives
    included, are read as the tensors that they hold.

    Args:
        path: .safetensors, or a torch file (.pth, .pt, .bin, .ckpt, .tar).

    Returns:
        Dotted path of the wrapping keys ("" for the file itself, "state_dict") → name → tensor.

    Raises:
        CheckpointError: The file is missing or damaged, is of another kind, would run code, or
            holds no tensor.
    """
    if path.suffix == ".safetensors":
        return {"": read_safetensors(path)}

    _check_is_file(path)
    if path.suffix not in _TORCH_SUFFIXES:
        raise CheckpointError(
            "unknown kind of weights file",
            expected=f".safetensors, {', '.join(_TORCH_SUFFIXES)}",
            found=path.suffix or "no suffix",
            where=path,
        )
    if is_safetensors(path):
        return {"": read_safetensors(path)}

    groups = dict(_groups(_load_plain(path), "", _DEPTH))
    if not groups:
        raise CheckpointError(
            "the weights file holds no named tensors",
            expected="a mapping of names to tensors, as model.state_dict() gives it",
            where=path,
            hint="Save the model with torch.save(model.state_dict(), FILE), or name another file.",
        )
    return groups


def _load_plain(path: Path) -> Any:
    """Content of a torch file, without running its code."""
    # the list of contents is at the end of a torch file
    with path.open("rb") as file:
        starts_as_zip = file.read(4) == b"PK\x03\x04"
    if starts_as_zip and not zipfile.is_zipfile(path):
        raise CheckpointError(
            "the weights file cannot be read",
            where=path,
            found="a damaged file, cut short or not downloaded in full",
            hint="Download or copy it again.",
        )

    try:
        # torch would run the code of a TorchScript archive, and refuses whole modules
        if is_torchscript(path):
            return read_archive(path)
        with torch.serialization.safe_globals(_plain_types()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, zipfile and pickle raise many kinds for damaged files
        refused = error

    try:
        if zipfile.is_zipfile(path):
            return read_archive(path)
    except Exception as error:  # as above
        refused = error

    if is_text(path):
        raise CheckpointError(
            "the weights file cannot be read",
            where=path,
            found="a text file",
            hint="Weights are binary: download or copy the file itself, or check the path.",
        ) from refused
    raise CheckpointError(
        "the weights file cannot be read as plain tensors",
        where=path,
        found=_describe_refusal(refused),
        hint="If you trust it, save its state dict alone, preferably as safetensors.",
    ) from refused


def _describe_refusal(error: Exception) -> str:
    """What is wrong with a file, without torch's advice on how to run its code."""
    text = str(error).strip()
    foreign = re.search(r"GLOBAL ([\w.]+)", text)
    if foreign:
        return f"objects of {foreign[1]}"
    if "Weights only load failed" in text:
        return "a damaged file, or one that torch has not written"
    return f"{type(error).__name__}: {first_line(error)}"


def _plain_types() -> list[Any]:
    """Plain values beside the tensors of many checkpoints: NumPy numbers, parsed arguments."""
    scalar, rebuild = np._core.multiarray.scalar, np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    names = ("numpy._core.multiarray", "numpy.core.multiarray")
    return [
        argparse.Namespace,
        np.dtype,
        np.ndarray,
        *(type(np.dtype(code)) for code in "?bBhHiIlLqQefdSU"),
        *((scalar, f"{name}.scalar") for name in names),
        *((rebuild, f"{name}._reconstruct") for name in names),
        (_latin1, "_codecs.encode"),
    ]


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """The bytes of a NumPy number, which pickles hold as text."""
    return text.encode("latin1")


def _check_is_file(path: Path) -> None:
    """Refuse a path that is no file, or a file that is known to hold no weights."""
    if not path.is_file():
        raise CheckpointError("no weights file", where=path)
    check_content(path)


def _groups(value: Any, path: str, depth: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Mappings that hold tensors, each with the keys that lead to it."""
    if isinstance(value, Inert):
        if tensors := tensors_of_module(value):
            yield path, tensors
        return
    # checkpoints of some programs are a short list
    if isinstance(value, list | tuple) and len(value) <= _LISTED:
        value = {str(i): inner for i, inner in enumerate(value) if not isinstance(inner, Tensor)}
    if not isinstance(value, Mapping) or depth == 0:
        return

    tensors = {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if tensors:
        yield path, tensors

    for key, inner in value.items():
        yield from _groups(inner, f"{path}.{key}".lstrip("."), depth - 1)
