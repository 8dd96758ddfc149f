"""Everything that takes part in a training run, made from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ke2nt.banks.geometry import arrange
from ke2nt.banks.text_bank import TextBank
from ke2nt.config.schema import TextConfig, TrainConfig
from ke2nt.data.augmentation import BatchAugmentation
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.losses.build import build_objective
from ke2nt.models.base import KNOWN_STATISTICS, ExpressionModel
from ke2nt.models.build import build_model
from ke2nt.runtime.distributed import world_size
from ke2nt.training.display import Display
from ke2nt.training.ema import ModelEma
from ke2nt.training.optimizer import make_optimizer
from ke2nt.training.recognition import Trainer
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.speed.small_maps import multiply_on_small_maps
from ke2nt.training.speed.sync_batch_norm import synchronize_batch_norm
from ke2nt.training.training_data import TrainingData

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["arranged_bank", "prepare_trainer", "trainer_parts", "untrained_model"]


def prepare_trainer(
    config: TrainConfig,
    run: RunDirectory,
    data: TrainingData,
    accelerator: Accelerator,
    preprocessing: Preprocessing,
    *,
    image_side: Mapping[str, torch.Tensor] | None = None,
    provenance: dict[str, Any] | None = None,
    quiet: bool = False,
) -> Trainer:
    """A trainer at the start of its run.

    Args:
        config: The run's configuration.
        run: Its directory.
        data: Its data.
        accelerator: Device and precision.
        preprocessing: From pixels to the input.
        image_side: Weights of the encoder and its attention from a first stage.
        provenance: Stored with the kept model.
        quiet: No progress on stderr.

    Raises:
        Ke2ntError: The configuration asks for a model or text bank that cannot be had, or for a
            batch that the processes cannot share.
    """
    model = untrained_model(config, data.classes, preprocessing, image_side)
    return Trainer(
        **trainer_parts(config, run, data, model, accelerator, provenance=provenance, quiet=quiet)
    )


def trainer_parts(
    config: TrainConfig,
    run: RunDirectory,
    data: TrainingData,
    model: ExpressionModel,
    accelerator: Accelerator,
    *,
    provenance: dict[str, Any] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """What a trainer of a given model is made of; parameters without a gradient stay as they are.

    Raises:
        ModelError: Learning rates are to differ by layer, and the layers are not known.
    """
    model.to(accelerator.device).to(memory_format=torch.channels_last)
    if not config.compile:
        multiply_on_small_maps(model)
    ema = ModelEma(model, config.optim.ema) if config.optim.ema is not None else None
    if world_size() > 1 and config.optim.sync_batch_norm:
        synchronize_batch_norm(model)
    red, green, blue = (value * 255 for value in model.preprocessing.mean)
    return {
        "config": config,
        "run": run,
        "data": data,
        "model": model,
        "ema": ema,
        "optimizer": make_optimizer(model, config.optim),
        "loss": build_objective(config.loss, config.model.attention),
        "accelerator": accelerator,
        "augment": BatchAugmentation(config.augment, (red, green, blue)),
        "display": Display(quiet=quiet),
        "provenance": provenance or {},
    }


def untrained_model(
    config: TrainConfig,
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    image_side: Mapping[str, torch.Tensor] | None = None,
) -> ExpressionModel:
    """The model that a run starts with.

    Args:
        config: The run's configuration.
        classes: The labels, in index order.
        preprocessing: From pixels to the input, unless the initial weights bring their own.
        image_side: Weights of the encoder and its attention from a first stage.

    Raises:
        Ke2ntError: The configuration asks for a model or text bank that cannot be had.
    """
    model = _build(config, classes, preprocessing)
    model.preprocessing = replace(model.preprocessing, gray=config.model.gray)
    if image_side is not None and config.pretrain is not None:
        model.load_state_dict({**model.state_dict(), **image_side})
        model.provenance["initial_weights"] = {"pretrain": list(config.pretrain.attributes)}
    return model


def _build(
    config: TrainConfig, classes: tuple[str, ...], preprocessing: Preprocessing
) -> ExpressionModel:
    options = config.model
    architecture: dict[str, Any] = {
        "head": options.head,
        "backbone": options.backbone,
        "image_size": options.image_size,
        "stem": options.stem,
        "backbone_options": options.backbone_options,
        "dropout": options.dropout,
    }
    if options.attention is not None:
        architecture["attention"] = options.attention.architecture()
    labels: dict[str, Any] = {"classes": classes}
    if options.head == "text":
        text = config.text
        labels = {"bank": arranged_bank(text, classes)}
        architecture |= {
            "reduction": options.reduction,
            "logit_scale": text.logit_scale,
            "learn_logit_scale": text.learn_logit_scale,
        }
    given = None if options.weights in KNOWN_STATISTICS else preprocessing
    return build_model(architecture, **labels, weights=options.weights, preprocessing=given)


def arranged_bank(text: TextConfig, classes: tuple[str, ...]) -> TextBank:
    """The text bank of some classes, as a configuration says."""
    if text.bank is not None:
        bank = TextBank.load(Path(text.bank).expanduser()).select(classes)
    else:
        bank = TextBank.build(
            text.prompts, encoder=text.encoder, classes=classes, cache_dir=text.cache_dir
        )
    return arrange(bank, text.geometry)
