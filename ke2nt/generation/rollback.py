"""The reaction to mode collapse and divergence: continue, stop, or roll back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from ke2nt.errors import TrainingError
from ke2nt.generation.guard import Guard
from ke2nt.training.checkpoint import keep_oldest_checkpoint
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory

__all__ = ["handle_fault"]


def handle_fault(
    guard: Guard,
    run: RunDirectory,
    progress: Progress,
    restore: Callable[[Path], Progress],
) -> Progress:
    """React to the fault in the record of the last epoch, if there is one.

    Args:
        guard: Counts rollbacks.
        run: Its checkpoints.
        progress: After the epoch.
        restore: Loads a checkpoint and returns its progress.

    Returns:
        The progress to continue from: `progress`, or that of the oldest checkpoint.

    Raises:
        TrainingError: The run has to stop.
    """
    record = progress.records[-1]
    fault = record.get("fault")
    if fault is None:
        return progress

    print(f"epoch {record['epoch']}: {fault}", file=sys.stderr)
    if guard.config.action == "log":
        return progress

    # the oldest checkpoint is the one farthest from the fault
    rollbacks = int(guard.rollbacks)
    checkpoint = None
    if guard.config.action == "rollback" and rollbacks < guard.config.max_rollbacks:
        checkpoint = keep_oldest_checkpoint(run.checkpoints)
    if checkpoint is None:
        run.write_log(progress.records)
        raise TrainingError(
            f"GAN training failed: {fault}",
            where=run.path,
            found=f"epoch {record['epoch']}, after {rollbacks} rollbacks",
            hint="Lower the learning rates, try gan.loss.adversary=r1, or set gan.guard.action to "
            "rollback or log. Earlier checkpoints are kept.",
        )
    return _restore(guard, checkpoint, restore, rollbacks, record["epoch"], fault)


def _restore(
    guard: Guard,
    checkpoint: Path,
    restore: Callable[[Path], Progress],
    rollbacks: int,
    epoch: int,
    fault: str,
) -> Progress:
    # the checkpoint holds an older count of rollbacks
    restored = restore(checkpoint)
    guard.rollbacks.fill_(rollbacks + 1)
    guard.bad_epochs.zero_()

    # the log tells what happened after the epoch that it now continues from
    if restored.records:
        rolled_back = {"from_epoch": epoch, "fault": fault}
        restored.records[-1].setdefault("rolled_back", []).append(rolled_back)
    print(f"rolled back to epoch {restored.epoch}, with half the learning rates", file=sys.stderr)
    return restored
