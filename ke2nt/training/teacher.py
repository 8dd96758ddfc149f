"""`loss.distillation`: the model whose logits a smaller one learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.checkpoints.find_model import WEIGHTS, find_model_folder, public_model_name
from ke2nt.config.schema import TrainConfig
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import ConfigError
from ke2nt.losses.distillation import DistillationLoss
from ke2nt.models.base import ExpressionModel
from ke2nt.models.load import load_model
from ke2nt.runtime.digest import digest_file
from ke2nt.training.compute import Compute

__all__ = ["Teacher", "load_teacher", "teacher_facts"]


class Teacher:
    """A trained model beside the one that trains; it sees the same changed and mixed images.

    A teacher that judges the very image that the student sees is worth more than one whose logits
    were computed on the unchanged image before: Beyer et al., "Knowledge distillation: A good
    teacher is patient and consistent" (https://arxiv.org/abs/2106.05237).

    Args:
        model: The teacher; moved to the device and put in evaluation mode.
        classes: Classes of the student; those of the teacher, in any order.
        preprocessing: Of the student.
        compute: Device and precision.
        temperature: See `DistillationLoss`.
        weight: Weight of the loss in the sum.

    Raises:
        ConfigError: The classes differ.
    """

    def __init__(
        self,
        model: ExpressionModel,
        classes: Sequence[str],
        preprocessing: Preprocessing,
        compute: Compute,
        *,
        temperature: float,
        weight: float,
    ) -> None:
        if set(model.classes) != set(classes):
            raise ConfigError(
                "the teacher has other classes than the data",
                expected=", ".join(classes),
                found=", ".join(model.classes),
                hint="Distill a teacher that was trained on these classes.",
            )
        self.weight = weight
        self._loss = DistillationLoss(temperature)
        self._model = model.to(compute.device).eval().requires_grad_(False)
        self._compute = compute
        self._student = preprocessing

        # (K,) position of each of the student's classes; None where the orders are equal
        order = [model.classes.index(name) for name in classes]
        self._order: Tensor | None = None
        if order != sorted(order):
            self._order = torch.tensor(order, device=compute.device)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Compute the teacher's logits (B, K), in the order of the student's classes.

        Args:
            images: (B, 3, S, S), normalized for the student.
        """
        preprocessing = self._model.preprocessing
        pixels = self._student.denormalize(images)
        side = preprocessing.image_size
        if pixels.shape[-1] != side:
            pixels = functional.interpolate(
                pixels, (side, side), mode="bilinear", antialias=True, align_corners=False
            )

        with self._compute.autocast():
            logits = self._model(preprocessing.normalize(pixels)).logits
        return logits if self._order is None else logits[:, self._order]

    def loss(self, logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Compute the distillation loss before weighting, from logits (B, K) of both."""
        return self._loss(logits, teacher_logits)


def load_teacher(
    config: TrainConfig, classes: Sequence[str], preprocessing: Preprocessing, compute: Compute
) -> Teacher | None:
    """Load the teacher that a configuration names; None if it names none.

    Args:
        config: Configuration of the run.
        classes: Classes of the student.
        preprocessing: Of the student.
        compute: Device and precision.

    Raises:
        CheckpointError: There is no such model, or its files are damaged.
        ConfigError: Its classes differ.
    """
    options = config.loss.distillation
    if options is None:
        return None
    return Teacher(
        load_model(options.teacher),
        classes,
        preprocessing,
        compute,
        temperature=options.temperature,
        weight=options.weight,
    )


def teacher_facts(config: TrainConfig) -> dict[str, Any] | None:
    """Name and digest of the teacher, for the records of the run; None without one.

    Raises:
        CheckpointError: There is no such model.
    """
    if config.loss.distillation is None:
        return None
    name = config.loss.distillation.teacher
    digest = digest_file(find_model_folder(name) / WEIGHTS)
    return {"model": public_model_name(name), "sha256": digest}
