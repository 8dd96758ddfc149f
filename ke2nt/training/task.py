"""The contract between the training engine and what is trained.

The engine (`training/engine.py`) runs epochs and steps, writes checkpoints, resumes, averages
gradients over processes, and guards against losses that are not finite. A task says what a step
computes. For each step the engine calls:

    task.set_learning_rates(position)
    inputs = task.prepare(batch, position)      # draws every random number, moves data
    for turn in task.turns(position):           # usually one turn, "train"
        loss, parts = task.step(inputs, turn)   # forward pass alone
        ...                                     # engine: backward, checks, clipping, optimizer
        task.after_step(position, turn)         # by default moves the running average

and after the last step of an epoch:

    report = task.evaluate(progress)            # record for the log; whether to keep the model
    task.save_model(epoch, score)               # every process, if report.kept
    progress = task.after_epoch(progress, restore)

Nothing is stored in a task between these calls: what a step needs is in its `inputs`, and what must
survive a resume is in `task.state`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from torch import Tensor

from ke2nt.data.tensors import Batch
from ke2nt.training.compute import Compute
from ke2nt.training.optimizer import set_learning_rate
from ke2nt.training.progress import Progress
from ke2nt.training.state import TrainingState

__all__ = ["EpochReport", "Position", "StepResult", "StepSettings", "Task"]


class StepSettings(Protocol):
    """The section of a configuration that says how long and in which batches a run trains."""

    @property
    def epochs(self) -> int:
        """Number of epochs."""

    @property
    def batch_size(self) -> int:
        """Images of a step, over all processes."""

    @property
    def not_finite(self) -> Literal["stop", "skip"]:
        """What to do with a loss that is NaN or infinite."""


@dataclass(frozen=True)
class Position:
    """Where a step stands in its run.

    Attributes:
        epoch: Completed epochs.
        step: Completed steps of this epoch.
        steps_per_epoch: Steps in an epoch.
        epochs: Epochs of the run.
    """

    epoch: int
    step: int
    steps_per_epoch: int
    epochs: int

    @property
    def done(self) -> int:
        """Steps of the run before this one; 0 for the first."""
        return self.epoch * self.steps_per_epoch + self.step

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.steps_per_epoch

    @property
    def share(self) -> float:
        """Share of the run that is done, in [0, 1)."""
        return self.done / self.total


class StepResult(NamedTuple):
    """What a forward pass gives.

    Attributes:
        loss: Scalar to minimize, with its graph. With several processes: the loss of the global
            batch, computed by every process from gathered rows (`gather_rows`).
        parts: Detached scalars; the log shows their mean over an epoch's steps.
    """

    loss: Tensor
    parts: dict[str, Tensor]

    @classmethod
    def with_total(cls, loss: Tensor, parts: dict[str, Tensor]) -> StepResult:
        """Log the loss itself as "total", before its parts."""
        return cls(loss, {"total": loss.detach(), **parts})


@dataclass(frozen=True)
class EpochReport:
    """What an evaluation gives.

    Attributes:
        record: Entries of the epoch's log record beside epoch, learning rate and losses.
        kept: Whether to save this epoch's model as the run's.
        score: Value of the selection metric, where the model was evaluated.
    """

    record: dict[str, Any] = field(default_factory=dict)
    kept: bool = False
    score: float | None = None


class Task(ABC):
    """What is trained, how a step computes its loss, and which epoch is kept.

    Attributes:
        state: Modules and optimizer: checkpointed, put into training mode, their buffers restored
            after a step that is left out.
        compute: Device and precision.
        section: Config section of `optim`, used in error messages.
        command: Command that starts and resumes such a run, for messages.
        all_turns: Every turn that a step may have, in order. A step that takes the last one ends a
            series of losses that are not finite.
        supports_cuda_graph: Whether `step` does the same operations on tensors of its inputs each
            time, so that it can be recorded.
    """

    state: TrainingState[Any]
    compute: Compute
    section: ClassVar[str] = "optim"
    command: ClassVar[str] = "ke2nt train"
    all_turns: ClassVar[tuple[str, ...]] = ("train",)
    supports_cuda_graph: ClassVar[bool] = False

    @property
    @abstractmethod
    def optim(self) -> StepSettings:
        """How long and in which batches the run trains."""

    @property
    def clip(self) -> float | None:
        """Largest norm of the gradients of `state.model`; None for no clipping."""
        return None

    @abstractmethod
    def learning_rate(self, position: Position) -> float:
        """Scheduled learning rate of a step."""

    def set_learning_rates(self, position: Position) -> None:
        """Set the learning rates of the optimizer's groups for a step."""
        set_learning_rate(self.state.optimizer, self.learning_rate(position))

    def turns(self, position: Position) -> tuple[str, ...]:
        """The turns of a step; each has its own forward and backward pass and optimizer step."""
        return self.all_turns

    @abstractmethod
    def prepare(self, batch: Batch, position: Position) -> Any:
        """Draw and move what the step needs; shared by its turns.

        Random numbers come from named seeds (`derive_seed`), so that a step can be repeated alone.
        Seed the global generators here, too, if the model draws from them (dropout).

        Args:
            batch: This process's share of the images.
            position: Where the step stands.

        Returns:
            Inputs of `step`. For a CUDA graph: a nest of tuples whose tensors are all that changes
            from step to step.
        """

    @abstractmethod
    def step(self, inputs: Any, turn: str) -> StepResult:
        """Forward pass of one turn."""

    def after_step(self, position: Position, turn: str) -> None:
        """Called after each optimizer step; moves the running average of the model."""
        if self.state.ema is not None:
            self.state.ema.update(self.state.model)

    @abstractmethod
    def evaluate(self, progress: Progress) -> EpochReport:
        """Evaluate after the last step of an epoch, where due.

        Args:
            progress: `epoch` does not count this epoch yet; `means()` are its losses, `best` is the
                score of the model kept so far.
        """

    def save_model(self, epoch: int, score: float | None) -> None:
        """Save this epoch's model as the run's; called for kept epochs.

        Every process calls this, as each may hold a part of the model; the main one writes.
        """
        raise NotImplementedError(f"{type(self).__name__} reports no kept epoch")

    def after_epoch(self, progress: Progress, restore: Callable[[Path], Progress]) -> Progress:
        """Return the progress to continue from, after an epoch was recorded.

        Args:
            progress: The run's, with the epoch's record last.
            restore: Loads a checkpoint into `state` and returns its progress.
        """
        return progress

    def pixels_seen(self, batch: Batch, position: Position) -> Tensor:
        """Pixels (B, 3, S, S) in 0..255 as the step saw them, to save with a failed step."""
        return batch.pixels
