"""Stage 1: from a configuration to a generator on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ke2nt.config.gan import FesganConfig
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.generation.build_networks import build_critics, build_generator
from ke2nt.generation.checks import check_class_counts, check_colors, check_single_process
from ke2nt.generation.gan_objective import GanObjective
from ke2nt.generation.gan_optimizer import gan_parameter_groups
from ke2nt.generation.guard import Guard
from ke2nt.generation.identity_space import choose_identity_space, load_identity_space
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.synthesis_task import SynthesisTask
from ke2nt.runtime.provenance import provenance
from ke2nt.runtime.seeding import seed_everything, set_deterministic
from ke2nt.training.compute import Compute, choose_compute
from ke2nt.training.display import Display
from ke2nt.training.ema import ModelEma
from ke2nt.training.engine import Engine
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.state import TrainingState
from ke2nt.training.training_data import TrainingData, load_training_data

__all__ = ["PretrainResult", "pretrain"]


@dataclass(frozen=True)
class PretrainResult:
    """The result of stage 1.

    Attributes:
        run: The run directory, with `generator/` and `samples/`.
        generator: The averaged generator, in evaluation mode.
        progress: Log records.
    """

    run: RunDirectory
    generator: FaceGenerator
    progress: Progress


def pretrain(
    config: FesganConfig, *, resume: bool = False, quiet: bool = False, command: str | None = None
) -> PretrainResult:
    """Train a generator, and write everything to the folder `config.out`.

    Args:
        config: The run's configuration; of the recognizer's sections, it uses data and model.
        resume: Continue the run in `config.out`.
        quiet: No progress on stderr.
        command: The command line, stored with the run.

    Raises:
        Ke2ntError: A mistake that the user can fix; results up to then stay in the run directory.
        TrainingStopped: Ctrl-C; the state has been saved.
    """
    check_single_process()
    config = choose_identity_space(config, quiet=quiet)
    run = RunDirectory(config.out)
    with run.discard_unless_used():
        return _pretrain(config, run, resume=resume, quiet=quiet, command=command)


def _pretrain(
    config: FesganConfig, run: RunDirectory, *, resume: bool, quiet: bool, command: str | None
) -> PretrainResult:
    # a folder that cannot be used is refused before images are decoded
    if not resume:
        run.check_free(command=SynthesisTask.command)
    checkpoint = run.newest_checkpoint(resume=resume)

    # data first: a mistake there must not leave a run behind
    seed_everything(config.seed)
    set_deterministic(config.deterministic)
    data = _load_data(config, quiet)
    facts = {
        "seed": config.seed,
        "command": command,
        "identity_space": config.gan.identity_space if config.gan.loss.identity else None,
        **provenance(),
    }
    run.begin(config, data.split_record(), resume=resume, command=SynthesisTask.command)

    # a resumed run continues from its newest checkpoint
    task = _build_task(config, run, data, choose_compute(config), facts)
    engine = Engine(task, _with_sampling(config), run, data, Display(quiet=quiet))
    progress = engine.restore(checkpoint)

    summary: dict[str, Any] = {
        "stage": "synthesis",
        "classes": list(data.classes),
        "samples": {"train": len(data.train), "val": len(data.val)},
        "unreadable": data.failed(),
        "provenance": facts,
    }
    with run.recorded(summary):
        progress = engine.fit(progress)

    # more images may have turned out to be unreadable
    status = {"status": "finished", "unreadable": data.failed(), "seconds": progress.seconds()}
    run.write("run.json", {**summary, **status})
    run.end(config)
    return PretrainResult(run, FaceGenerator.load(run.path), progress)


def _load_data(config: FesganConfig, quiet: bool) -> TrainingData:
    """Load and check the real faces, labeled with class indices."""
    # extra synthetic faces are for the recognizer
    settings = config.model_copy(update={"data": config.data.model_copy(update={"extra": None})})
    preprocessing = Preprocessing(image_size=config.gan_size, gray=config.model.gray)
    data = load_training_data(settings, preprocessing, quiet=quiet)

    # a GAN can neither use soft labels nor classes that are almost empty
    check_class_counts(data.train, config.gan.min_images)
    check_colors(data.train, config.channels)
    return replace(data, targets=torch.from_numpy(data.train.split.labels()))


def _with_sampling(config: FesganConfig) -> FesganConfig:
    """Let the order of the images follow `gan.sampling`, which null leaves to `data.sampling`."""
    sampling = config.gan.sampling
    if sampling is None:
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"sampling": sampling})})


def _build_task(
    config: FesganConfig,
    run: RunDirectory,
    data: TrainingData,
    compute: Compute,
    facts: dict[str, Any],
) -> SynthesisTask:
    # channels last is faster for convolutions on GPUs and CPUs
    gan, device = config.gan, compute.device
    generator = build_generator(config, data.classes).to(device)
    generator.to(memory_format=torch.channels_last)
    critics = build_critics(gan, generator).to(device).to(memory_format=torch.channels_last)
    objective = GanObjective(gan, generator, critics, load_identity_space(gan, device))

    # one optimizer for both sides, so that a checkpoint has one optimizer state
    guard, optim = Guard(gan.guard), gan.optim
    groups = gan_parameter_groups(objective, optim.lr, optim.critic_lr, optim.betas)
    state = TrainingState(
        generator,
        torch.optim.Adam(groups, fused=device.type in ("cpu", "cuda")),
        ModelEma(generator, optim.ema),
        extra=nn.ModuleDict({"critics": critics, "guard": guard}),
    )
    return SynthesisTask(
        config=config,
        run=run,
        data=data,
        state=state,
        compute=compute,
        objective=objective,
        guard=guard,
        provenance=facts,
    )
