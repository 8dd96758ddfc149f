"""What a loop does when its synthesis has gone wrong: go on, stop, or go back."""

from __future__ import annotations

import sys

from ke2nt.errors import TrainingError
from ke2nt.generation.guard import Guard
from ke2nt.training.checkpoint import roll_back
from ke2nt.training.legacy_loop import EpochLoop
from ke2nt.training.progress import Progress

__all__ = ["act_on_fault"]


def act_on_fault(loop: EpochLoop, guard: Guard, progress: Progress) -> Progress:
    """Act on the fault of the last epoch's record, if it has one.

    Returns:
        Where to go on from: `progress`, or the oldest checkpoint that is kept.

    Raises:
        TrainingError: The run is to stop, or cannot go back.
    """
    record, config = progress.records[-1], guard.config
    problem = record.get("fault")
    if problem is None:
        return progress
    print(f"epoch {record['epoch']}: {problem}", file=sys.stderr)
    if config.action == "log":
        return progress
    rollbacks = int(guard.rollbacks)
    checkpoint = None
    if config.action == "rollback" and rollbacks < config.max_rollbacks:
        checkpoint = roll_back(loop.run.checkpoints)
    if checkpoint is None:
        loop.run.write_log(progress.records)
        raise TrainingError(
            f"synthesis has gone wrong, {problem}",
            where=loop.run.path,
            found=f"epoch {record['epoch']}, after {rollbacks} rollbacks",
            hint="Lower the learning rates, try gan.loss.adversary=r1, or set gan.guard.action to "
            "rollback or log. The checkpoints before are kept.",
        )
    restored = loop.restore(checkpoint)
    guard.rollbacks.fill_(rollbacks + 1)
    guard.bad_epochs.zero_()
    if restored.records:
        restored.records[-1].setdefault("rolled_back", []).append(
            {"from_epoch": record["epoch"], "fault": problem}
        )
    print(f"back to epoch {restored.epoch}, at half the rates", file=sys.stderr)
    return restored
