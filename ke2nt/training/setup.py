"""Everything that takes part in a training run, built from its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch

from ke2nt.config.schema import TrainConfig
from ke2nt.data.augmentation import BatchAugmentation
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.losses.build import build_objective
from ke2nt.losses.deep_supervision import DeepSupervisionLoss
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.distributed import world_size
from ke2nt.training.batch_norm import synchronize_batch_norm
from ke2nt.training.class_shares import seen_class_shares
from ke2nt.training.compute import Compute
from ke2nt.training.display import Display
from ke2nt.training.ema import ModelEma
from ke2nt.training.engine import Engine
from ke2nt.training.image_augmenter import ImageAugmenter
from ke2nt.training.initial_model import build_initial_model
from ke2nt.training.optimizer import build_optimizer
from ke2nt.training.recognition_task import RecognitionTask
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.sharding import check_sharding, shard_model
from ke2nt.training.speed.compile_model import compile_for_training
from ke2nt.training.speed.gradient_checkpointing import checkpoint_blocks
from ke2nt.training.speed.small_maps import multiply_on_small_maps
from ke2nt.training.state import TrainingState
from ke2nt.training.teacher import load_teacher
from ke2nt.training.training_data import TrainingData

__all__ = [
    "build_augmenter",
    "build_loss",
    "build_state",
    "build_task",
    "prepare_engine",
]

T = TypeVar("T", bound=RecognitionTask)


def prepare_engine(
    config: TrainConfig,
    run: RunDirectory,
    data: TrainingData,
    compute: Compute,
    preprocessing: Preprocessing,
    *,
    image_side: Mapping[str, torch.Tensor] | None = None,
    provenance: dict[str, Any] | None = None,
    quiet: bool = False,
) -> Engine:
    """Build the engine that trains a recognizer, at the start of its run.

    Args:
        config: Configuration of the run.
        run: Its directory.
        data: Its data.
        compute: Device and precision.
        preprocessing: From pixels to the input.
        image_side: Weights of the encoder and its attention from a first stage.
        provenance: Saved with the kept model.
        quiet: Show no progress.

    Raises:
        Ke2ntError: The configuration names a model or text bank that is not available, or a batch
            that the processes cannot share.
    """
    # building the model draws its weights from the global random state
    model = build_initial_model(config, data.classes, preprocessing, image_side)
    teacher = load_teacher(config, data.classes, model.preprocessing, compute)
    fields = {"provenance": provenance or {}, "teacher": teacher}
    task = build_task(RecognitionTask, config, run, data, model, compute, **fields)
    return Engine(task, config, run, data, Display(quiet=quiet))


def build_task(
    task_class: Callable[..., T],
    config: TrainConfig,
    run: RunDirectory,
    data: TrainingData,
    model: ExpressionModel,
    compute: Compute,
    **fields: Any,
) -> T:
    """Build a task that trains a recognizer.

    Args:
        task_class: `RecognitionTask` or a subclass.
        config: Configuration of the run.
        run: Its directory.
        data: Its data.
        model: The model that trains; changed in place.
        compute: Device and precision.
        **fields: Further fields of the task, or other values for `state`, `loss` and `augmenter`.

    Raises:
        Ke2ntError: As `build_state` and `build_objective`.
    """
    if "state" not in fields:
        fields["state"] = build_state(config, model, compute)
    if "loss" not in fields:
        fields["loss"] = build_loss(config, data, compute)
    if "augmenter" not in fields:
        fields["augmenter"] = build_augmenter(config, model, compute)
    return task_class(config=config, run=run, data=data, compute=compute, **fields)


def build_loss(
    config: TrainConfig, data: TrainingData, compute: Compute
) -> KE2NTLoss | DeepSupervisionLoss:
    """Build the objective of a configuration, on the device.

    Args:
        config: Configuration of the run.
        data: Its data, whose class shares a logit adjustment needs.
        compute: Device.

    Raises:
        ConfigError: A loss of another package cannot be imported or built.
    """
    shares = seen_class_shares(data, config).tolist() if config.loss.logit_adjustment else None
    objective = build_objective(config.loss, config.model.attention, class_shares=shares)
    return objective.to(compute.device)


def build_state(
    config: TrainConfig,
    model: ExpressionModel,
    compute: Compute,
    *,
    method: str | None = None,
) -> TrainingState[ExpressionModel]:
    """Move a model to the device and give it an average and an optimizer.

    Parameters that require no gradient are left out of the optimizer.

    Args:
        config: Configuration of the run.
        model: The model; changed in place.
        compute: Device and precision.
        method: A method of the model that steps call in place of its forward pass.

    Raises:
        ModelError: Learning rates differ by layer, and the layers are not known.
        TrainingError: The model cannot be compiled, or one process alone is to shard it.
    """
    check_sharding(config)
    # convolutions are faster in channels-last memory; a sharded model moves part by part
    if config.sharding == "none":
        model.to(compute.device).to(memory_format=torch.channels_last)

    # the average is a copy, made before options change the model in place
    ema = ModelEma(model, config.optim.ema) if config.optim.ema is not None else None
    _apply_speed_options(model, ema, config)

    # the optimizer steps the parts that this process holds
    if config.sharding != "none":
        for whole in (model, *([] if ema is None else [ema.model])):
            shard_model(whole, compute.device, method=method)
    return TrainingState(model, build_optimizer(model, config.optim), ema)


def _apply_speed_options(
    model: ExpressionModel, ema: ModelEma[ExpressionModel] | None, config: TrainConfig
) -> None:
    """Change how a model computes, in place; parameters and saved files stay the same.

    The CUDA graph of a step is no option of the model, see `training/gradients.py`.

    Args:
        model: The model that trains, on its device.
        ema: Its average, or None.
        config: `compile`, `model.gradient_checkpointing` and `optim.sync_batch_norm`.

    Raises:
        TrainingError: The model cannot be compiled.
        ModelError: The blocks to checkpoint are not known.
    """
    if config.compile:
        compile_for_training(model, config)
    else:
        # a compiler does this better; the average computes the same way when it is evaluated
        multiply_on_small_maps(model)
        if ema is not None:
            multiply_on_small_maps(ema.model)
    if config.model.gradient_checkpointing:
        checkpoint_blocks(model.backbone.net)
    if world_size() > 1 and config.optim.sync_batch_norm:
        synchronize_batch_norm(model)


def build_augmenter(
    config: TrainConfig, model: ExpressionModel, compute: Compute
) -> ImageAugmenter:
    """Build the random changes of a model's training images."""
    # erased regions take the mean color
    red, green, blue = (value * 255 for value in model.preprocessing.mean)
    augment = BatchAugmentation(config.augment, (red, green, blue))
    return ImageAugmenter(augment, model.preprocessing, compute, config.seed)
