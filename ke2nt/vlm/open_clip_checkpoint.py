"""Checkpoints of open_clip models, whatever wrapped or prefixed their weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from ke2nt.errors import CheckpointError, TextEncoderError
from ke2nt.runtime.tensor_files import read_tensor_groups, write_safetensors

__all__ = ["explain_misfit", "plain_checkpoint"]

# every model of open_clip has this parameter, so it marks the level of the model's own names
_MARK = "logit_scale"

# what archives hold beside the weights: OpenAI's facts about the architecture, and constant masks
_FACTS = frozenset({"input_resolution", "context_length", "vocab_size"})
_MASK = "attn_mask"

# weights of big_vision, which open_clip converts itself
_BIG_VISION = (".npz", ".npy")


@contextmanager
def plain_checkpoint(path: Path) -> Iterator[Path]:
    """Give a file that open_clip reads: the checkpoint itself, or its weights without wrapping.

    Args:
        path: Any file that `read_tensor_groups` reads, such as a checkpoint of Lightning or one of
            OpenAI's TorchScript archives; or an array file of big_vision.

    Raises:
        TextEncoderError: The file cannot be read, or holds no weights.
    """
    if path.suffix in _BIG_VISION:
        yield path
        return

    try:
        groups = read_tensor_groups(path)
    except CheckpointError as error:
        raise TextEncoderError(
            error.message,
            expected=error.expected,
            found=error.found,
            where=error.where,
            hint=error.hint,
        ) from error

    # the group of the model, not of its optimizer or running average
    source, prefix, weights = _find_weights(groups)
    is_plain = not source and not prefix and len(weights) == len(groups[""])
    if is_plain and path.suffix == ".safetensors":
        yield path
        return

    # open_clip takes files only
    del groups
    with tempfile.TemporaryDirectory() as folder:
        unwrapped = Path(folder) / "weights.safetensors"
        _write(unwrapped, weights)
        del weights
        yield unwrapped


def explain_misfit(error: Exception) -> str:
    """One line about files that do not fit, with the first names that are missing."""
    # the text of a KeyError is the key alone
    if isinstance(error, KeyError):
        return repr(error)
    lines = [line.strip() for line in str(error).strip().splitlines()]
    # torch heads its list of names with the class alone
    if len(lines) > 1 and lines[0].endswith(":"):
        lines = lines[1:]
    return "; ".join(line[:200] for line in lines[:2]) or repr(error)


def _find_weights(
    groups: Mapping[str, Mapping[str, Tensor]],
) -> tuple[str, str, dict[str, Tensor]]:
    """Wrapping keys, prefix, and the weights under the model's own names."""
    marked = [
        (source, name.removesuffix(_MARK))
        for source, tensors in groups.items()
        for name in tensors
        if name == _MARK or name.endswith(f".{_MARK}")
    ]
    # without the mark the largest group; open_clip will say which names it lacks
    if not marked:
        marked = [(max(groups, key=lambda source: _count(groups[source])), "")]

    # of several copies, the first with the most weights
    source, prefix = max(marked, key=lambda pair: _count_under(groups[pair[0]], pair[1]))
    weights = {
        name.removeprefix(prefix): tensor
        for name, tensor in groups[source].items()
        if name.startswith(prefix)
    }
    kept = {
        name: tensor
        for name, tensor in weights.items()
        if name not in _FACTS and name.rpartition(".")[2] != _MASK
    }
    return source, prefix, kept


def _count(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors.values())


def _count_under(tensors: Mapping[str, Tensor], prefix: str) -> int:
    return sum(tensor.numel() for name, tensor in tensors.items() if name.startswith(prefix))


def _write(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write tensors unchanged; safetensors has no type of its own for mixed precision."""
    floating = {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}
    dtype = floating.pop() if len(floating) == 1 else torch.float32
    write_safetensors(path, weights, {}, dtype=dtype)
