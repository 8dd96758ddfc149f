"""From a configuration, a model and images to the trainer of an adaptation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ke2nt.adapt.methods import resolve_part_classes
from ke2nt.adapt.normalization_statistics import normalization_parameters
from ke2nt.adapt.objective import AdaptationLoss
from ke2nt.adapt.part import PartContext
from ke2nt.adapt.target_images import UNLABELED
from ke2nt.adapt.target_stream import TargetStream
from ke2nt.adapt.tasks import AdaptTrainer, EntropyTrainer
from ke2nt.banks.text_bank import TextBank
from ke2nt.config.adapt import AdaptConfig
from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import ConfigError, ModelError
from ke2nt.models.base import ExpressionModel
from ke2nt.models.ke2nt import KE2NT
from ke2nt.training.optimizer import parameter_groups
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.setup import build_arranged_bank, trainer_parts
from ke2nt.training.training_data import TrainingData

if TYPE_CHECKING:
    from ke2nt.training.device import Compute

__all__ = ["prepare_adaptation", "prepare_entropy"]


def prepare_adaptation(
    config: AdaptConfig,
    run: RunDirectory,
    source: TrainingData,
    target: FaceTensors,
    model: ExpressionModel,
    accelerator: Compute,
    **options: Any,
) -> AdaptTrainer:
    """A trainer with both domains at the start of its run.

    Args:
        config: The run's configuration.
        run: Where it is written.
        source: Labeled images.
        target: Images without labels.
        model: The model to move; changed in place.
        accelerator: Device and precision.
        **options: provenance and quiet, as for `trainer_parts`.

    Raises:
        Ke2ntError: The configuration asks for parts that the model or its text cannot have.
    """
    part_classes = resolve_part_classes(config.adapt).values()
    needs_single_labels = any(getattr(c, "needs_single_labels", False) for c in part_classes)
    settings = config.adaptation_run(mixes=not needs_single_labels)
    source_bank = _source_bank(config, model, accelerator.device)
    shared = trainer_parts(settings, run, source, model, accelerator, **options)
    width = model.dim if isinstance(model, KE2NT) else model.backbone.width
    space = PartContext(len(model.classes), width, model.bank, shared["loss"], config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        parts = AdaptationLoss(config.adapt, space).to(accelerator.device)
    optimizer: torch.optim.Optimizer = shared["optimizer"]
    for group in parameter_groups(parts.other_parameters(), config.optim):
        optimizer.add_param_group(group)
    if centers := parts.center_parameters():
        _add_centers(optimizer, centers, config)
    return AdaptTrainer(
        **shared,
        extra=parts,
        adapt=config,
        stream=TargetStream(target, config.optim.batch_size, config.seed),
        parts=parts,
        source_bank=source_bank,
    )


def prepare_entropy(
    config: AdaptConfig,
    run: RunDirectory,
    target: FaceTensors,
    model: ExpressionModel,
    accelerator: Compute,
    **options: Any,
) -> EntropyTrainer:
    """A trainer that sees the target alone and moves scales and shifts of normalizations alone.

    Raises:
        ModelError: The model has no normalization layers.
    """
    learn = normalization_parameters(model)
    if not learn:
        raise ModelError(
            "the model has no normalization that entropy minimization could move",
            found=model.architecture.get("backbone"),
        )
    model.requires_grad_(False)
    for parameter in learn:
        parameter.requires_grad_(True)
    nothing = torch.full((len(target),), UNLABELED)
    data = TrainingData(target, target, nothing)
    settings = config.adaptation_run(mixes=False)
    shared = trainer_parts(settings, run, data, model, accelerator, **options)
    stream = TargetStream(target, config.optim.batch_size, config.seed)
    return EntropyTrainer(**shared, adapt=config, stream=stream)


def _add_centers(
    optimizer: torch.optim.Optimizer, centers: list[nn.Parameter], config: AdaptConfig
) -> None:
    """A group of their own: their rate follows the schedule, without momentum and decay."""
    usual = 1.0 if config.optim.name == "sgd" else 0.01
    scale = (config.adapt.center_lr or usual) / config.optim.lr
    group: dict[str, Any] = {"params": centers, "lr_scale": scale, "weight_decay": 0.0}
    if config.optim.name == "sgd":
        group |= {"momentum": 0.0, "nesterov": False}
    optimizer.add_param_group(group)


def _source_bank(
    config: AdaptConfig, model: ExpressionModel, device: torch.device
) -> TextBank | None:
    """The bank of the source's prompts; the model takes that of the target's where they differ."""
    if config.adapt.source_prompts is None:
        return None
    if not isinstance(model, KE2NT):
        raise ConfigError(
            "a linear head has no prompts that could name the domain",
            expected="a model with a text head",
            found=f"adapt.source_prompts={config.adapt.source_prompts}",
        )
    text = config.text.model_copy(update={"prompts": config.adapt.source_prompts, "bank": None})
    source = build_arranged_bank(text, model.classes)
    target = build_arranged_bank(config.text, model.classes)
    scale = model.bank.logit_scale
    model.set_bank(replace(target, logit_scale=scale))
    return source.to(device)
