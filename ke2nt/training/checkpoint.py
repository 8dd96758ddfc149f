"""Resumable training state: safetensors for tensors, JSON for the rest, written atomically.

Each checkpoint is a folder `checkpoints/00012-00000034` (epoch, step in the epoch). A resumed run
takes the newest; a checkpoint that was cut short never has its final name.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ke2nt.errors import CheckpointError, TrainingError
from ke2nt.runtime.atomic import atomic_folder, write_json
from ke2nt.runtime.digest import digest_file
from ke2nt.runtime.distributed import is_main
from ke2nt.runtime.sharding import gather_tensor, shard_like
from ke2nt.training.progress import Progress
from ke2nt.training.state import TrainingState

__all__ = [
    "latest_checkpoint",
    "load_checkpoint",
    "keep_oldest_checkpoint",
    "remove_checkpoints",
    "save_checkpoint",
]

FORMAT = 2
_TENSORS = "state.safetensors"
_FACTS = "state.json"
_NAME = re.compile(r"\d{5}-\d{8}")
_OPTIMIZER_STATE = {
    torch.optim.SGD: {"momentum_buffer"},
    torch.optim.Adam: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"},
}


def save_checkpoint(
    folder: Path, state: TrainingState[Any], progress: Progress, *, keep: int
) -> Path:
    """Write one checkpoint and remove all but the newest `keep`.

    Every process calls this, as each may hold a part of the tensors; the main one writes.

    Returns:
        The new checkpoint's folder.

    Raises:
        TrainingError: It cannot be written, for example because the disk is full; older checkpoints
            are untouched.
    """
    tensors = _named_tensors(state)
    # sorted by name, checkpoints are in order
    target = folder / f"{progress.epoch:05d}-{progress.step:08d}"
    if not is_main():
        return target

    try:
        with atomic_folder(target) as unfinished:
            save_file(tensors, unfinished / _TENSORS)
            facts = {
                "format": FORMAT,
                "digest": digest_file(unfinished / _TENSORS),
                "ema_updates": state.ema.updates if state.ema is not None else None,
                "progress": asdict(progress),
            }
            write_json(unfinished / _FACTS, facts)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            "the checkpoint cannot be written",
            where=target,
            found=error,
            hint="Free some space or give write access, then resume the run; older checkpoints are "
            "intact.",
        ) from error

    for old in _checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def load_checkpoint(path: Path, state: TrainingState[Any]) -> Progress:
    """Load a checkpoint into modules, running average and optimizer.

    Raises:
        CheckpointError: The checkpoint is damaged or belongs to another model.
    """
    facts, progress, tensors = _read(path)
    try:
        for prefix, module in state.modules.items():
            _load_module(module, _with_prefix(tensors, f"{prefix}."))
        if state.ema is not None:
            _load_module(state.ema.model, _with_prefix(tensors, "ema."))
            state.ema.updates = int(facts["ema_updates"])
        _load_optimizer(state, _with_prefix(tensors, "optim."))
    except (RuntimeError, ValueError, KeyError, TypeError, IndexError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            "the checkpoint belongs to another model", where=path, found=first_line
        ) from error
    return progress


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint of a run, or None."""
    checkpoints = _checkpoints(folder)
    return checkpoints[-1] if checkpoints else None


def keep_oldest_checkpoint(folder: Path) -> Path | None:
    """Return the oldest checkpoint, or None, and remove the newer ones."""
    checkpoints = _checkpoints(folder)
    for newer in checkpoints[1:]:
        shutil.rmtree(newer)
    return checkpoints[0] if checkpoints else None


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints, and the folder if nothing else is in it."""
    for checkpoint in _checkpoints(folder):
        # hidden first: a checkpoint that is half removed must never look like a complete one
        hidden = checkpoint.rename(folder / f".removed-{checkpoint.name}")
        shutil.rmtree(hidden, ignore_errors=True)
    with suppress(OSError):  # it does not exist, or holds more
        folder.rmdir()


def _checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first. Other folders are never touched."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and _NAME.fullmatch(p.name))


def _named_tensors(state: TrainingState[Any]) -> dict[str, Tensor]:
    """All tensors of a checkpoint: model.*, ema.*, extra.* and optim.*.

    Returns:
        Whole tensors on the CPU, which all processes gather and only the main one keeps.
    """
    modules = dict(state.modules)
    if state.ema is not None:
        modules["ema"] = state.ema.model
    tensors = {
        f"{prefix}.{name}": value
        for prefix, module in modules.items()
        for name, value in module.state_dict().items()
    }

    # by name instead of by position, so that a file says what it holds
    names = _parameter_names(state)
    for index, values in state.optimizer.state_dict()["state"].items():
        for key, value in values.items():
            if value is not None:
                tensors[f"optim.{names[index]}.{key}"] = torch.as_tensor(value)

    # one by one, since all whole tensors may not fit into a device's memory; copies, because
    # safetensors refuses tensors that share memory
    copies = {}
    for name, value in tensors.items():
        whole = gather_tensor(value)
        if is_main():
            copies[name] = whole.cpu().contiguous().clone()
    return copies


def _read(path: Path) -> tuple[dict[str, Any], Progress, dict[str, Tensor]]:
    """Read and verify the two files of a checkpoint."""
    try:
        facts = json.loads((path / _FACTS).read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise CheckpointError(
                "unknown checkpoint format",
                expected=FORMAT,
                found=facts["format"],
                where=path,
                hint="Another version of ke2nt wrote it; resume the run with that version.",
            )
        progress = Progress.from_dict(facts["progress"])

        # before the tensors are used: a damaged file may still be readable
        if digest_file(path / _TENSORS) != facts["digest"]:
            raise CheckpointError(
                "the checkpoint is damaged: its digest does not match",
                where=path,
                hint="Remove this folder to resume from the checkpoint before it.",
            )
        return facts, progress, load_file(path / _TENSORS)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise CheckpointError(
            "cannot read the checkpoint",
            where=path,
            found=error,
            hint="Remove this folder to resume from the checkpoint before it.",
        ) from error


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _load_module(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load whole tensors into a module, of which this process may hold a part."""
    present = module.state_dict()
    parts = {
        name: shard_like(value, present[name]) if name in present else value
        for name, value in tensors.items()
    }
    module.load_state_dict(parts)


def _parameter_names(state: TrainingState[Any]) -> list[str]:
    """Names of the optimizer's parameters, in its order."""
    names = {
        id(parameter): f"{prefix}.{name}"
        for prefix, module in state.modules.items()
        for name, parameter in module.named_parameters()
    }
    return [names[id(p)] for group in state.optimizer.param_groups for p in group["params"]]


def _load_optimizer(state: TrainingState[Any], tensors: dict[str, Tensor]) -> None:
    """Load the optimizer's state; fused kernels trust it, so it is fully checked here."""
    optimizer = state.optimizer
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    positions = {name: index for index, name in enumerate(_parameter_names(state))}

    # index of the parameter → its state
    loaded: dict[int, dict[str, Tensor]] = {}
    for full_name, value in tensors.items():
        name, key = full_name.rsplit(".", 1)
        index = positions[name]
        like = torch.zeros(()) if key == "step" else parameters[index]
        if value.shape != like.shape:
            raise ValueError(f"{full_name} has the shape {[*value.shape]}, not {[*like.shape]}")
        # fused kernels expect the parameter's memory layout, too
        part = shard_like(value, like)
        loaded.setdefault(index, {})[key] = torch.empty_like(like).copy_(part)

    if any(values.keys() != _OPTIMIZER_STATE[type(optimizer)] for values in loaded.values()):
        raise ValueError("the optimizer state belongs to another optimizer")
    optimizer.load_state_dict({**optimizer.state_dict(), "state": loaded})
