"""Both stages from one configuration: a generator, then a recognizer trained jointly with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ke2nt.config.gan import FesganConfig
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import ConfigError
from ke2nt.generation.build_networks import build_critics
from ke2nt.generation.checks import check_generator_fits, check_single_process
from ke2nt.generation.fixed_modules import FixedModules
from ke2nt.generation.gan_objective import GanObjective
from ke2nt.generation.gan_optimizer import gan_parameter_groups
from ke2nt.generation.guard import Guard
from ke2nt.generation.identity_space import choose_identity_space, load_identity_space
from ke2nt.generation.joint_task import JointTask
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.saved_gan import load_critics
from ke2nt.generation.train_generator import pretrain
from ke2nt.training.compute import Compute
from ke2nt.training.display import Display
from ke2nt.training.ema import ModelEma
from ke2nt.training.engine import Engine
from ke2nt.training.initial_model import build_initial_model
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.setup import build_state, build_task
from ke2nt.training.train_recognizer import TrainResult
from ke2nt.training.train_recognizer import train as train_recognizer
from ke2nt.training.training_data import TrainingData

__all__ = ["train"]

_PAST_WARMUP = 10**6  # updates after which the decay of an average is constant


def train(
    config: FesganConfig, *, resume: bool = False, quiet: bool = False, command: str | None = None
) -> TrainResult:
    """Pretrain a generator, unless one is named, and train a recognizer jointly with it.

    Stage 1 is in `OUT/synthesis`, stage 2 in `OUT`.

    Args:
        config: The run's configuration.
        resume: Continue the run in `config.out`, in the stage where it stopped.
        quiet: No progress on stderr.
        command: The command line, stored with the runs.

    Raises:
        Ke2ntError: A mistake that the user can fix; results up to then stay in the run directory.
        TrainingStopped: Ctrl-C; the state has been saved.
    """
    check_single_process()
    _check_config(config)
    config = choose_identity_space(config, quiet=quiet or config.joint.generator is None)
    run = RunDirectory(config.out)
    if not resume:
        run.check_free(command=JointTask.command)

    # stage 1, unless its result is given
    source = config.joint.generator
    if source is None:
        source = str(run.path / "synthesis")
        _pretrain(config, source, resume=resume, quiet=quiet, command=command)

    # stage 2 may not have begun when the run was stopped
    make_engine = partial(_prepare_engine, source=source)
    return train_recognizer(
        config, resume=resume and run.exists, quiet=quiet, command=command, make_engine=make_engine
    )


def _pretrain(
    config: FesganConfig, out: str, *, resume: bool, quiet: bool, command: str | None
) -> None:
    """Run stage 1, or what is left of it."""
    run = RunDirectory(out)
    begun = resume and run.exists
    if not (begun and run.finished):
        stage = config.model_copy(update={"out": out})
        pretrain(stage, resume=begun, quiet=quiet, command=command)


def _check_config(config: FesganConfig) -> None:
    """Check combinations of sections that cannot work."""
    # mixed faces would need mixed synthetic faces
    joint, augment = config.joint, config.augment
    if (augment.mixup or augment.cutmix) and (joint.intra_class or joint.consistency):
        raise ConfigError(
            "mixed faces have no single class for the intra-class and consistency losses",
            expected="augment.mixup=0 and augment.cutmix=0, or joint.intra_class=0 and "
            "joint.consistency=0",
            found=f"mixup {augment.mixup}, cutmix {augment.cutmix}",
        )

    # generator and critics share the optimizer of the recognizer
    if config.optim.name != "adamw":
        raise ConfigError(
            "the generator needs Adam", expected="optim.name=adamw", found=config.optim.name
        )

    # a linear head has no neutral embedding
    if joint.consistency and config.model.head != "text":
        raise ConfigError(
            "joint.consistency needs a recognizer with a transformation network",
            expected="model.head=text",
            found=config.model.head,
        )


def _prepare_engine(
    config: FesganConfig,
    run: RunDirectory,
    data: TrainingData,
    compute: Compute,
    preprocessing: Preprocessing,
    *,
    source: str,
    image_side: Mapping[str, torch.Tensor] | None = None,
    provenance: dict[str, Any] | None = None,
    quiet: bool = False,
) -> Engine:
    """Build the engine of stage 2; arguments as for `ke2nt.training.setup.prepare_engine`.

    Args:
        source: Folder of the pretraining run.

    Raises:
        Ke2ntError: Generator or critics do not fit the configuration.
    """
    model = build_initial_model(config, data.classes, preprocessing, image_side)
    state = build_state(config, model, compute)
    generator = FaceGenerator.load(source).to(compute.device)
    check_generator_fits(generator, data.classes, config.channels)
    if config.joint.consistency and "neutral" not in data.classes:
        raise ConfigError("joint.consistency needs the class neutral", found=data.classes)

    # the GAN objective continues where the pretraining stopped
    critics = build_critics(config.gan, generator)
    identity = load_identity_space(config.gan, compute.device)
    objective = GanObjective(config.gan, generator, critics, identity)
    guard = Guard(config.gan.guard)

    # the pretrained weights are worth more than the first ones of a training from scratch
    average = ModelEma(generator, config.gan.optim.ema)
    average.updates = _PAST_WARMUP
    extra = _build_extra(config, Path(source), objective, average, guard, compute)
    if not config.joint.frozen:
        rate = config.joint.lr
        for group in gan_parameter_groups(objective, rate, rate, config.gan.optim.betas):
            state.optimizer.add_param_group(group)

    task = build_task(
        JointTask,
        config,
        run,
        data,
        model,
        compute,
        state=replace(state, extra=extra),
        provenance=provenance or {},
        objective=objective,
        average=average,
        guard=guard,
    )
    return Engine(task, config, run, data, Display(quiet=quiet))


def _build_extra(
    config: FesganConfig,
    source: Path,
    objective: GanObjective,
    average: ModelEma[FaceGenerator],
    guard: Guard,
    compute: Compute,
) -> nn.ModuleDict:
    """Collect the modules beside the recognizer that checkpoints hold."""
    # a frozen generator needs neither critics nor guard
    generator, critics = objective.generator, objective.critics
    if config.joint.frozen:
        generator.requires_grad_(False)
        extra = nn.ModuleDict({"fixed": FixedModules(generator=generator)})
    else:
        load_critics(critics, source)
        critics.to(compute.device)
        fixed = FixedModules(average=average.model)
        extra = nn.ModuleDict(
            {"generator": generator, "critics": critics, "guard": guard, "fixed": fixed}
        )
    return extra.to(memory_format=torch.channels_last)
