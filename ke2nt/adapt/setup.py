"""From a configuration, a model and images to the engine of an adaptation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from ke2nt.adapt.adaptation_task import AdaptationTask
from ke2nt.adapt.entropy_task import EntropyTask
from ke2nt.adapt.methods import resolve_part_classes
from ke2nt.adapt.normalization_parameters import normalization_parameters
from ke2nt.adapt.objective import AdaptationLoss
from ke2nt.adapt.part import PartContext
from ke2nt.adapt.share_correction import estimate_correction
from ke2nt.adapt.target_images import UNLABELED
from ke2nt.adapt.target_stream import TargetStream
from ke2nt.banks.text_bank import TextBank
from ke2nt.config.adapt import AdaptConfig
from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import ConfigError, ModelError
from ke2nt.losses.deep_supervision import DeepSupervisionLoss
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.base import ExpressionModel
from ke2nt.models.ke2nt import KE2NT
from ke2nt.training.compute import Compute
from ke2nt.training.display import Display
from ke2nt.training.engine import Engine
from ke2nt.training.image_tower import resolve_text_encoder
from ke2nt.training.initial_model import build_arranged_bank
from ke2nt.training.optimizer import parameter_groups
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.setup import build_loss, build_state, build_task
from ke2nt.training.training_data import TrainingData

__all__ = ["prepare_adaptation", "prepare_entropy"]

Objective = KE2NTLoss | DeepSupervisionLoss


def prepare_adaptation(
    config: AdaptConfig,
    run: RunDirectory,
    source: TrainingData,
    target: FaceTensors,
    model: ExpressionModel,
    compute: Compute,
    *,
    provenance: dict[str, Any] | None = None,
    quiet: bool = False,
) -> Engine:
    """Build the engine of an adaptation with both domains, at the start of its run.

    Args:
        config: Configuration of the run.
        run: Its directory.
        source: Labeled images.
        target: Unlabeled images.
        model: The model to adapt; changed in place.
        compute: Device and precision.
        provenance: Saved with the kept model.
        quiet: Show no progress.

    Raises:
        Ke2ntError: The configuration asks for parts that the model or its text bank cannot have.
    """
    part_classes = resolve_part_classes(config.adapt).values()
    needs_single_labels = any(getattr(c, "needs_single_labels", False) for c in part_classes)
    settings = config.adaptation_run(mixes=not needs_single_labels)

    # the model gets the target's bank before it is moved and averaged
    source_bank = _set_target_bank(config, model, compute.device)
    state = build_state(settings, model, compute)
    loss = build_loss(settings, source, compute)

    # pseudo-labels follow the class shares that the model to adapt finds
    estimator, correction = config.adapt.share_estimator, None
    if estimator is not None and part_classes:
        power = config.adapt.share_power
        images = source.val, target
        shares = estimate_correction(
            model, *images, estimator, compute, power=power, seed=config.seed
        )
        correction = shares.calibration() if shares.trusted else None

    # checkpoints hold the parts as `extra`; the method "source" has none
    parts = _build_parts(config, model, loss, compute.device)
    _add_parameters(state.optimizer, parts, config)
    task = build_task(
        AdaptationTask,
        settings,
        run,
        source,
        model,
        compute,
        state=replace(state, extra=parts),
        loss=loss,
        provenance=provenance or {},
        stream=TargetStream(target, config.optim.batch_size, config.seed),
        parts=parts,
        source_bank=source_bank,
        correction=correction,
    )
    return Engine(task, settings, run, source, Display(quiet=quiet))


def prepare_entropy(
    config: AdaptConfig,
    run: RunDirectory,
    target: FaceTensors,
    model: ExpressionModel,
    compute: Compute,
    *,
    provenance: dict[str, Any] | None = None,
    quiet: bool = False,
) -> Engine:
    """Build the engine of entropy minimization, which trains normalization parameters alone.

    Arguments as for `prepare_adaptation`.

    Raises:
        ModelError: The model has no normalization layers.
    """
    trained = normalization_parameters(model)
    if not trained:
        raise ModelError(
            "the model has no normalization layers for entropy minimization to train",
            found=model.architecture.get("backbone"),
            hint="Adapt with source images: --source NAME=DIR --method dmsrl.",
        )

    # the optimizer takes only parameters that require a gradient
    model.requires_grad_(False)
    for parameter in trained:
        parameter.requires_grad_(True)

    # the target takes the place of the labeled images, with placeholders as labels
    settings = config.adaptation_run(mixes=False)
    data = TrainingData(target, target, torch.full((len(target),), UNLABELED))
    fields = {"loss": KE2NTLoss(), "provenance": provenance or {}}
    task = build_task(EntropyTask, settings, run, data, model, compute, **fields)
    return Engine(task, settings, run, data, Display(quiet=quiet))


def _build_parts(
    config: AdaptConfig, model: ExpressionModel, loss: Objective, device: torch.device
) -> AdaptationLoss:
    """Build the adaptation objective; its initial values depend on the seed alone."""
    width = model.dim if isinstance(model, KE2NT) else model.backbone.width
    context = PartContext(len(model.classes), width, model.bank, loss, config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return AdaptationLoss(config.adapt, context).to(device)


def _add_parameters(
    optimizer: torch.optim.Optimizer, parts: AdaptationLoss, config: AdaptConfig
) -> None:
    """Add the parameters of the parts to the optimizer."""
    for group in parameter_groups(parts.other_parameters(), config.optim):
        optimizer.add_param_group(group)
    centers = parts.center_parameters()
    if not centers:
        return

    # the learning rate of class centers follows the schedule, without momentum and weight decay
    default_lr = 1.0 if config.optim.name == "sgd" else 0.01
    scale = (config.adapt.center_lr or default_lr) / config.optim.lr
    settings: dict[str, Any] = {"lr_scale": scale, "weight_decay": 0.0}
    if config.optim.name == "sgd":
        settings |= {"momentum": 0.0, "nesterov": False}
    optimizer.add_param_group({"params": centers, **settings})


def _set_target_bank(
    config: AdaptConfig, model: ExpressionModel, device: torch.device
) -> TextBank | None:
    """Give the model the bank of the target's prompts and return that of the source's prompts.

    Returns:
        None where both domains have the same prompts.
    """
    if config.adapt.source_prompts is None:
        return None
    if not isinstance(model, KE2NT):
        raise ConfigError(
            "a linear head has no prompts that could describe the source domain",
            expected="a model with a text head",
            found=f"adapt.source_prompts={config.adapt.source_prompts}",
        )

    config = resolve_text_encoder(config)
    # the logit scale is that of the model, not of the prompts
    source_text = config.text.model_copy(
        update={"prompts": config.adapt.source_prompts, "bank": None}
    )
    source = build_arranged_bank(source_text, model.classes)
    target = build_arranged_bank(config.text, model.classes)
    model.set_bank(replace(target, logit_scale=model.bank.logit_scale))
    return source.to(device)
