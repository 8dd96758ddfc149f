"""Training an image encoder on attributes of people, such as gender or age."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ke2nt.config.schema import OptimConfig, TrainConfig
from ke2nt.data.sample import FaceSplit
from ke2nt.data.tensors import Batch
from ke2nt.errors import DataError
from ke2nt.losses.attributes import MISSING, AttributeLoss
from ke2nt.models.attribute_heads import AttributeHeads
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.distributed import gather_rows, rank
from ke2nt.runtime.seeding import derive_seed, seed_step
from ke2nt.training.compute import Compute
from ke2nt.training.image_augmenter import ImageAugmenter, StepImages
from ke2nt.training.optimizer import learning_rate
from ke2nt.training.progress import Progress
from ke2nt.training.state import TrainingState
from ke2nt.training.task import EpochReport, Position, StepResult, Task

__all__ = ["AttributeTask", "encode_attributes", "find_attribute_values"]

_MAX_VALUES = 50  # more are free text or a number


@dataclass(kw_only=True)
class AttributeTask(Task):
    """Train the image side of a model, with heads for attributes in place of its own head.

    Attributes:
        config: Configuration of the stage.
        state: The model; `extra` are the heads.
        compute: Device and precision.
        heads: `state.extra`.
        targets: (N, A) int64 labels of the training split, `MISSING` where unknown.
        augmenter: Random changes of the training images.
    """

    supports_cuda_graph: ClassVar[bool] = True

    config: TrainConfig
    state: TrainingState[ExpressionModel]
    compute: Compute
    heads: AttributeHeads
    targets: Tensor
    augmenter: ImageAugmenter

    def __post_init__(self) -> None:
        self.targets = self.targets.to(self.compute.device)

    @property
    def optim(self) -> OptimConfig:
        """Optimizer and schedule."""
        return self.config.optim

    @property
    def clip(self) -> float | None:
        """Largest gradient norm of the model."""
        return self.optim.clip

    def learning_rate(self, position: Position) -> float:
        """Warm-up, then a half cosine."""
        return learning_rate(position.done, position.steps_per_epoch, self.optim)

    def prepare(self, batch: Batch, position: Position) -> StepImages:
        """Draw the changes of the images and the seed of dropout."""
        seed = derive_seed(self.config.seed, "step", position.epoch, position.step, rank())
        seed_step(seed, self.compute.device)
        return self.augmenter.draw(batch, position)

    def step(self, inputs: StepImages, turn: str = "train") -> StepResult:
        """Compute the mean over the stages of the loss of their attributes."""
        images = self.augmenter.model_input(inputs)
        labels = gather_rows(self.targets[self.compute.to_device(inputs.indices)])
        with self.compute.autocast():
            stages = self.heads(self.state.model.stage_features(images).pooled)

        # each stage predicts the attributes of the global batch
        criterion, losses, parts = AttributeLoss(), [], []
        for output in stages:
            loss, stage_parts = criterion(output.map(gather_rows), labels)
            losses.append(loss)
            parts.append(stage_parts)

        # the log shows each attribute, averaged over the stages
        means = {name: torch.stack([p[name] for p in parts]).mean() for name in parts[0]}
        return StepResult.with_total(torch.stack(losses).mean(), means)

    def evaluate(self, progress: Progress) -> EpochReport:
        """No epoch is chosen: the last one counts."""
        return EpochReport()

    def pixels_seen(self, batch: Batch, position: Position) -> Tensor:
        """Augmented pixels."""
        return self.augmenter.change(self.augmenter.draw(batch, position))


def find_attribute_values(
    split: FaceSplit, attributes: Sequence[str], missing: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Return the values of each attribute in a split, in alphabetical order.

    Args:
        split: The faces.
        attributes: Names of the attributes.
        missing: Values that mean that the attribute is not known.

    Raises:
        DataError: An attribute has fewer than two values there, or too many to be classes.
    """
    values = {}
    for name in attributes:
        occurring = {sample.attributes.get(name) for sample in split.samples}
        known = sorted(value for value in occurring if value is not None and value not in missing)
        if not 2 <= len(known) <= _MAX_VALUES:
            available = {key for sample in split.samples for key in sample.attributes}
            names = ", ".join(sorted(available)) or "none"
            raise DataError(
                f"the attribute {name!r} cannot be learned",
                expected=f"2 to {_MAX_VALUES} values; these faces have {names}",
                found=f"{len(known)} values",
                where=f"{split.dataset} {split.split}",
            )

        # sorted, so that another order of the samples gives the same labels
        values[name] = tuple(known)
    return values


def encode_attributes(split: FaceSplit, values: Mapping[str, Sequence[str]]) -> Tensor:
    """Return (N, A) int64 indices into each attribute's values; `MISSING` for any other value."""
    index = {name: {value: i for i, value in enumerate(known)} for name, known in values.items()}

    # one row per face, one column per attribute
    rows = [
        [index[name].get(sample.attributes.get(name, ""), MISSING) for name in values]
        for sample in split.samples
    ]
    return torch.tensor(rows, dtype=torch.int64)
