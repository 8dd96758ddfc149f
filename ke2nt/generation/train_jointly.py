"""Both stages from one configuration: synthesis, then the recognizer that learns with it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ke2nt.config.gan import FesganConfig
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import ConfigError
from ke2nt.generation.build_networks import build_critics, load_identity_space
from ke2nt.generation.checks import check_generator_fits, check_single_process
from ke2nt.generation.gan_objective import GanObjective
from ke2nt.generation.guard import Guard
from ke2nt.generation.joint import Fixed, JointTrainer
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.synthesis import adam_groups
from ke2nt.generation.train_generator import load_critics, pretrain
from ke2nt.training.ema import ModelEma
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.setup import build_untrained_model, trainer_parts
from ke2nt.training.train_recognizer import TrainResult
from ke2nt.training.train_recognizer import train as train_recognizer
from ke2nt.training.training_data import TrainingData

if TYPE_CHECKING:
    from ke2nt.training.device import Compute

__all__ = ["train"]

_SETTLED = 10**6  # updates after which an average decays as slowly as it ever will


def train(
    config: FesganConfig, *, resume: bool = False, quiet: bool = False, command: str | None = None
) -> TrainResult:
    """Pretrain a generator, unless one is named, and train a recognizer jointly with it.

    Stage 1 is in `OUT/synthesis`, stage 2 in `OUT`.

    Args:
        config: The run's configuration.
        resume: Go on with the run that is in `config.out`, in the stage where it stopped.
        quiet: No progress on stderr.
        command: The command line, stored with the runs.

    Raises:
        Ke2ntError: Anything a user can mend; what was computed before stays in the run directory.
        TrainingStopped: Ctrl-C; the state has been saved.
    """
    check_single_process()
    _check(config)
    run = RunDirectory(config.out)
    if not resume:
        run.check_free(command="ke2nt gan train")
    source = config.joint.generator
    if source is None:
        first = RunDirectory(run.path / "synthesis")
        source = str(first.path)
        begun = resume and first.exists
        if not (begun and first.finished):
            stage = config.model_copy(update={"out": source})
            pretrain(stage, resume=begun, quiet=quiet, command=command)
    begun = resume and run.exists
    prepare = partial(_prepare, source=source)
    return train_recognizer(config, resume=begun, quiet=quiet, command=command, prepare=prepare)


def _check(config: FesganConfig) -> None:
    mixes = config.augment.mixup or config.augment.cutmix
    if mixes and (config.joint.intra_class or config.joint.consistency):
        raise ConfigError(
            "mixed faces have no single class for the intra-class and consistency losses",
            expected="augment.mixup=0 and augment.cutmix=0, or joint.intra_class=0 and "
            "joint.consistency=0",
            found=f"mixup {config.augment.mixup}, cutmix {config.augment.cutmix}",
        )
    if config.optim.name != "adamw":
        raise ConfigError(
            "the generator needs Adam", expected="optim.name=adamw", found=config.optim.name
        )
    if config.joint.consistency and config.model.head != "text":
        raise ConfigError(
            "joint.consistency needs a recognizer with a transformation network",
            expected="model.head=text",
            found=config.model.head,
        )


def _prepare(
    config: FesganConfig,
    run: RunDirectory,
    data: TrainingData,
    accelerator: Compute,
    preprocessing: Preprocessing,
    *,
    source: str,
    image_side: Mapping[str, torch.Tensor] | None = None,
    **options: Any,
) -> JointTrainer:
    model = build_untrained_model(config, data.classes, preprocessing, image_side)
    parts = trainer_parts(config, run, data, model, accelerator, **options)
    device = accelerator.device
    generator = FaceGenerator.load(source).to(device)
    check_generator_fits(generator, data.classes, config.channels)
    if config.joint.consistency and "neutral" not in data.classes:
        raise ConfigError("joint.consistency needs the class neutral", found=data.classes)
    critics = build_critics(config.gan, generator)
    game = GanObjective(config.gan, generator, critics, load_identity_space(config.gan, device))
    average, guard = ModelEma(generator, config.gan.optim.ema), Guard(config.gan.guard)
    average.updates = _SETTLED
    if config.joint.frozen:
        extra = torch.nn.ModuleDict({"fixed": Fixed(generator=generator.requires_grad_(False))})
    else:
        load_critics(critics, Path(source))
        critics.to(device)
        learn = {"generator": generator, "critics": critics, "guard": guard}
        extra = torch.nn.ModuleDict({**learn, "fixed": Fixed(average=average.model)})
        rate = config.joint.lr
        for group in adam_groups(game, rate, rate, config.gan.optim.betas):
            parts["optimizer"].add_param_group(group)
    extra.to(memory_format=torch.channels_last)
    return JointTrainer(**parts, extra=extra, game=game, average=average, guard=guard)
