"""Everything that takes part in a training run, made from its configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ke2nt.config.schema import TextConfig, TrainConfig
from ke2nt.data.augmentation import BatchAugmentation
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.build import build_model
from ke2nt.models.recogniser import KNOWN_STATISTICS, Recogniser
from ke2nt.runtime.distributed import world_size
from ke2nt.text.bank import TextBank
from ke2nt.text.bank_geometry import arrange
from ke2nt.train.data import TrainingData
from ke2nt.train.display import Display
from ke2nt.train.ema import ModelEma
from ke2nt.train.loop import Trainer, global_batch
from ke2nt.train.optim import make_optimizer
from ke2nt.train.run import RunDirectory
from ke2nt.train.small_maps import multiply_on_small_maps
from ke2nt.train.sync_norm import synchronise_batch_norm

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["prepare_trainer"]


def prepare_trainer(
    config: TrainConfig,
    run: RunDirectory,
    data: TrainingData,
    accelerator: Accelerator,
    preprocessing: Preprocessing,
    *,
    provenance: dict[str, Any] | None = None,
    quiet: bool = False,
) -> Trainer:
    """A trainer at the start of its run.

    Raises:
        Ke2ntError: The configuration asks for a model or text bank that cannot be had, or for a
            batch that the processes cannot share.
    """
    model = _build(config, data.classes, preprocessing)
    model.to(accelerator.device).to(memory_format=torch.channels_last)
    multiply_on_small_maps(model)
    ema = ModelEma(model, config.optim.ema) if config.optim.ema is not None else None
    if world_size() > 1 and config.optim.sync_batch_norm:
        synchronise_batch_norm(model)
    red, green, blue = (value * 255 for value in model.preprocessing.mean)
    images = len(data.train.usable)
    return Trainer(
        config=config,
        run=run,
        data=data,
        model=model,
        ema=ema,
        optimizer=make_optimizer(model, config.optim),
        loss=KE2NTLoss(
            {
                "similarity": config.loss.similarity,
                "transformation": config.loss.transformation,
                "self_contrast": config.loss.self_contrast,
            },
            pairing=config.loss.pairing,
            label_smoothing=config.loss.label_smoothing,
            text_smoothing=config.loss.text_smoothing,
            text_temperature=config.loss.text_temperature,
        ),
        accelerator=accelerator,
        augment=BatchAugmentation(config.augment, (red, green, blue)),
        display=Display(config.optim.epochs, images // global_batch(config, images), quiet=quiet),
        provenance=provenance or {},
    )


def _build(
    config: TrainConfig, classes: tuple[str, ...], preprocessing: Preprocessing
) -> Recogniser:
    options = config.model
    architecture: dict[str, Any] = {
        "head": options.head,
        "backbone": options.backbone,
        "image_size": options.image_size,
        "stem": options.stem,
        "backbone_options": options.backbone_options,
        "dropout": options.dropout,
    }
    given = None if options.weights in KNOWN_STATISTICS else preprocessing
    if options.head == "linear":
        model = build_model(
            architecture, classes=classes, weights=options.weights, preprocessing=given
        )
        model.preprocessing = replace(model.preprocessing, grey=options.grey)
        return model
    text = config.text
    bank = arrange(_bank(text, classes), text.geometry)
    architecture |= {
        "reduction": options.reduction,
        "logit_scale": text.logit_scale,
        "learn_logit_scale": text.learn_logit_scale,
    }
    model = build_model(architecture, bank=bank, weights=options.weights, preprocessing=given)
    model.preprocessing = replace(model.preprocessing, grey=options.grey)
    return model


def _bank(text: TextConfig, classes: tuple[str, ...]) -> TextBank:
    if text.bank is not None:
        return TextBank.load(Path(text.bank).expanduser()).select(classes)
    return TextBank.build(
        text.prompts, encoder=text.encoder, classes=classes, cache_dir=text.cache_dir
    )
