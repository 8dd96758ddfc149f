"""Resumable training state: safetensors for tensors, JSON for the rest, written atomically.

Each checkpoint is a folder of its own, `checkpoints/00012-00000034` (epoch, step in the epoch), and
the newest whole one is taken at resume; one that was cut short never has its final name.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ke2nt.errors import CheckpointError, TrainingError
from ke2nt.runtime.atomic import atomic_folder, write_json
from ke2nt.runtime.digest import digest_file
from ke2nt.training.ema import ModelEma

__all__ = [
    "Progress",
    "latest_checkpoint",
    "load_checkpoint",
    "roll_back",
    "save_checkpoint",
]

FORMAT = 2
_NAME = re.compile(r"\d{5}-\d{8}")
_STATE = {
    torch.optim.SGD: {"momentum_buffer"},
    torch.optim.Adam: {"step", "exp_avg", "exp_avg_sq"},
    torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"},
}


@dataclass
class Progress:
    """Where training stands.

    Attributes:
        epoch: Epochs completed.
        step: Steps done in the epoch that is under way.
        best: Value of the selection metric of the kept model, or None.
        best_epoch: Its epoch, counted from 1.
        sums: Sums of the loss parts over the steps of the epoch under way, in float64.
        counts: How many steps each of them is of.
        records: The log's records so far, one an epoch.
        skipped: Steps of the epoch under way that were left out, as their loss was not finite or
            hardly any of their images could be read.
        skipped_in_a_row: Steps since the last one whose loss was finite.
    """

    epoch: int = 0
    step: int = 0
    best: float | None = None
    best_epoch: int | None = None
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    skipped: int = 0
    skipped_in_a_row: int = 0

    def means(self) -> dict[str, float]:
        """Mean of each loss part over the steps that had it."""
        return {name: value / self.counts[name] for name, value in self.sums.items()}

    def next_epoch(self) -> None:
        """The epoch under way is done."""
        self.epoch, self.step, self.skipped = self.epoch + 1, 0, 0
        self.sums, self.counts = {}, {}


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    ema: ModelEma[Any] | None,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    extra: nn.Module | None = None,
    *,
    keep: int,
) -> Path:
    """Write one checkpoint and remove all but the newest `keep`.

    Returns:
        The new checkpoint's folder.

    Raises:
        TrainingError: It cannot be written, as on a full disk; older ones are as they were.
    """
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    if ema is not None:
        tensors |= {f"ema.{k}": v for k, v in ema.model.state_dict().items()}
    if extra is not None:
        tensors |= {f"extra.{k}": v for k, v in extra.state_dict().items()}
    names = _learning(optimizer, model, extra)
    state = optimizer.state_dict()["state"]
    for index, values in state.items():
        for key, value in values.items():
            if value is not None:
                tensors[f"optim.{names[index]}.{key}"] = torch.as_tensor(value)
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    target = folder / f"{progress.epoch:05d}-{progress.step:08d}"
    try:
        with atomic_folder(target) as aside:
            save_file(tensors, aside / "state.safetensors")
            value = {
                "format": FORMAT,
                "digest": digest_file(aside / "state.safetensors"),
                "ema_updates": ema.updates if ema is not None else None,
                "progress": asdict(progress),
            }
            write_json(aside / "state.json", value)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            "the checkpoint cannot be written",
            where=target,
            found=error,
            hint="Make room or give write access, then resume the run; the checkpoints before it "
            "are whole.",
        ) from error
    for old in _checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run, or None."""
    found = _checkpoints(folder)
    return found[-1] if found else None


def roll_back(folder: Path) -> Path | None:
    """The oldest checkpoint that is kept, or None; the newer ones are removed."""
    found = _checkpoints(folder)
    for newer in found[1:]:
        shutil.rmtree(newer)
    return found[0] if found else None


def load_checkpoint(
    path: Path,
    model: nn.Module,
    ema: ModelEma[Any] | None,
    optimizer: torch.optim.Optimizer,
    extra: nn.Module | None = None,
) -> Progress:
    """Put a checkpoint's state back into a model, its average, its optimizer and what is extra.

    Raises:
        CheckpointError: The checkpoint is damaged or belongs to another model.
    """
    try:
        value = json.loads((path / "state.json").read_text(encoding="utf-8"))
        if value["format"] != FORMAT:
            raise CheckpointError(
                "unknown checkpoint format",
                expected=FORMAT,
                found=value["format"],
                where=path,
                hint="Another version of ke2nt wrote it; resume the run with that one.",
            )
        progress = _progress(value["progress"])
        if digest_file(path / "state.safetensors") != value["digest"]:
            raise CheckpointError(
                "the checkpoint is damaged: its digest does not fit",
                where=path,
                hint="Remove this folder to resume from the one before it.",
            )
        tensors = load_file(path / "state.safetensors")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise CheckpointError("cannot read the checkpoint", where=path, found=error) from error
    try:
        model.load_state_dict(_part(tensors, "model."))
        if ema is not None:
            ema.model.load_state_dict(_part(tensors, "ema."))
            ema.updates = int(value["ema_updates"])
        if extra is not None:
            extra.load_state_dict(_part(tensors, "extra."))
        names = _learning(optimizer, model, extra)
        _load_optimizer(optimizer, names, _part(tensors, "optim."))
    except (RuntimeError, ValueError, KeyError, TypeError, IndexError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            "the checkpoint is of another model", where=path, found=first
        ) from error
    return progress


def _progress(value: dict[str, Any]) -> Progress:
    """What `asdict` made of a `Progress`; nothing in it is trusted."""
    progress = Progress(**value)
    for name in ("epoch", "step", "skipped", "skipped_in_a_row"):
        if type(getattr(progress, name)) is not int or getattr(progress, name) < 0:
            raise ValueError(f"{name} is no count")
    best = (progress.best, progress.best_epoch)
    if not all(item is None or type(item) in (int, float) for item in best):
        raise ValueError("the best epoch is no number")
    if not isinstance(progress.sums, dict) or not isinstance(progress.records, list):
        raise ValueError("the log is damaged")
    if not all(isinstance(record, dict) for record in progress.records):
        raise ValueError("the log is damaged")
    if not all(type(record.get("seconds")) in (int, float) for record in progress.records):
        raise ValueError("the log is damaged")
    if not isinstance(progress.counts, dict) or progress.counts.keys() != progress.sums.keys():
        raise ValueError("the sums of losses have no counts")
    if not all(type(count) is int and count > 0 for count in progress.counts.values()):
        raise ValueError("the sums of losses have no counts")
    progress.sums = {str(name): float(total) for name, total in progress.sums.items()}
    return progress


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and _NAME.fullmatch(p.name))


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _learning(
    optimizer: torch.optim.Optimizer, model: nn.Module, extra: nn.Module | None
) -> list[str]:
    """Names of an optimizer's parameters, in its order."""
    modules = {"model": model} if extra is None else {"model": model, "extra": extra}
    names = {
        id(parameter): f"{prefix}.{name}"
        for prefix, module in modules.items()
        for name, parameter in module.named_parameters()
    }
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def _load_optimizer(
    optimizer: torch.optim.Optimizer, names: list[str], flat: dict[str, torch.Tensor]
) -> None:
    """Fused kernels trust what they are given, so that all of it is checked here."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    place = {name: index for index, name in enumerate(names)}
    for full, value in flat.items():
        name, key = full.rsplit(".", 1)
        index = place[name]
        like = torch.zeros(()) if key == "step" else parameters[index]
        if value.shape != like.shape:
            raise ValueError(f"{full} has the shape {[*value.shape]}, not {[*like.shape]}")
        # They want the parameter's memory layout, too.
        state.setdefault(index, {})[key] = torch.empty_like(like).copy_(value)
    if any(values.keys() != _STATE[type(optimizer)] for values in state.values()):
        raise ValueError("the state is another optimizer's")
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
