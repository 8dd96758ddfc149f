"""Named tensors of a weights file. Code in a file is never run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ke2nt.errors import CheckpointError
from ke2nt.runtime.atomic import write_bytes

__all__ = ["read_safetensors", "read_tensor_groups", "write_safetensors"]

_TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
_DEPTH = 3  # a state dict is looked for this many mappings deep


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU.

    Raises:
        CheckpointError: The file is absent or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _check_is_file(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            "the safetensors file cannot be read", where=path, found=error
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
        kind = dtype if tensor.is_floating_point() else tensor.dtype
        # copies, as safetensors refuses tensors that share memory
        copied = tensor.detach().to("cpu", kind, copy=True, memory_format=torch.contiguous_format)
        if kind != tensor.dtype and not copied.isfinite().all():
            raise CheckpointError(
                f"the weight {name} is out of the range of {kind}",
                found=f"a largest value of {float(tensor.abs().max()):.3g}",
                hint="Save it in float32.",
            )
        stored[name] = copied
    write_bytes(path, save(stored, dict(metadata)))  # save_file leaves it to the owner alone


def read_tensor_groups(path: Path) -> dict[str, dict[str, Tensor]]:
    """Every group of named tensors in a weights file, by the keys that lead to it.

    Args:
        path: .safetensors, or a torch file (.pth, .pt, .bin, .ckpt, .tar), read with
            weights_only=True.

    Returns:
        Dotted path of the wrapping keys ("" for the file itself, "state_dict") → name → tensor.

    Raises:
        CheckpointError: The file is absent, damaged, holds more than tensors and plain values, or
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
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged files
        raise CheckpointError(
            "the weights file cannot be read as plain tensors",
            where=path,
            found=f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
            if str(error).strip()
            else type(error).__name__,
            hint="If you trust it, save its state dict alone, best as safetensors.",
        ) from error
    groups = dict(_groups(content, "", _DEPTH))
    if not groups:
        raise CheckpointError("the weights file holds no named tensors", where=path)
    return groups


def _check_is_file(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError("no weights file", where=path)


def _groups(value: Any, at: str, depth: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    if not isinstance(value, Mapping) or depth == 0:
        return
    tensors = {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if tensors:
        yield at, tensors
    for key, inner in value.items():
        yield from _groups(inner, f"{at}.{key}".lstrip("."), depth - 1)
