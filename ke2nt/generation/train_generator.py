"""Stage 1 from a configuration to a generator on disk."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ke2nt.checkpoints.tensor_files import read_safetensors
from ke2nt.config.gan import FesganConfig
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import CheckpointError
from ke2nt.generation.build_networks import build_critics, build_generator, load_identity_space
from ke2nt.generation.checks import check_class_counts, check_colors, check_single_process
from ke2nt.generation.gan_objective import GanObjective
from ke2nt.generation.guard import Guard
from ke2nt.generation.networks.critics import Critics
from ke2nt.generation.networks.generator import FaceGenerator, find_generator
from ke2nt.generation.synthesis import CRITICS, SynthesisLoop, adam_groups
from ke2nt.runtime.provenance import provenance
from ke2nt.runtime.seeding import seed_everything, set_deterministic
from ke2nt.training.device import make_accelerator
from ke2nt.training.display import Display
from ke2nt.training.ema import ModelEma
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.training_data import TrainingData, load_training_data

__all__ = ["PretrainResult", "load_critics", "pretrain"]


@dataclass(frozen=True)
class PretrainResult:
    """What stage 1 gives.

    Attributes:
        run: The run directory, with `generator/` and `samples/`.
        generator: The averaged generator, in evaluation mode.
        progress: Log records.
    """

    run: RunDirectory
    generator: FaceGenerator
    progress: Progress


def load_critics(critics: Critics, source: Path) -> None:
    """Go on with the critics beside a saved generator; where there are none, say so.

    Raises:
        CheckpointError: They are others than the configuration asks for.
    """
    path = find_generator(source).parent / CRITICS
    if not path.is_file():
        print(f"no critics beside the generator in {source}: they start untrained", file=sys.stderr)
        return
    try:
        critics.load_state_dict(read_safetensors(path))
    except RuntimeError as error:
        raise CheckpointError(
            "the pretrained critics do not fit the configuration",
            where=path,
            found=str(error).splitlines()[0],
            hint="Set gan.network and gan.loss.adversary as in that run.",
        ) from error


def pretrain(
    config: FesganConfig, *, resume: bool = False, quiet: bool = False, command: str | None = None
) -> PretrainResult:
    """Train a generator; everything is written to the folder `config.out`.

    Args:
        config: The run's configuration; of the recognizer's sections, data and model count.
        resume: Go on with the run that is in `config.out`.
        quiet: No progress on stderr.
        command: The command line, stored with the run.

    Raises:
        Ke2ntError: Anything a user can mend; what was computed before stays in the run directory.
        TrainingStopped: Ctrl-C; the state has been saved.
    """
    check_single_process()
    run = RunDirectory(config.out)
    with run.discard_unless_used():
        return _pretrain(config, run, resume=resume, quiet=quiet, command=command)


def _pretrain(
    config: FesganConfig, run: RunDirectory, *, resume: bool, quiet: bool, command: str | None
) -> PretrainResult:
    seed_everything(config.seed)
    set_deterministic(config.deterministic)
    preprocessing = Preprocessing(image_size=config.gan_size, gray=config.model.gray)
    without = config.data.model_copy(update={"extra": None})  # that is for the recognizer
    data = load_training_data(
        config.model_copy(update={"data": without}), preprocessing, quiet=quiet
    )
    data = replace(data, targets=torch.from_numpy(data.train.split.labels()))
    check_class_counts(data.train, config.gan.min_images)
    check_colors(data.train, config.channels)
    facts = {"seed": config.seed, "command": command, **provenance()}
    run.begin(config, data.names(), resume=resume, command=SynthesisLoop.command)
    loop = _prepare(config, run, data, facts, quiet)
    checkpoint = run.newest_checkpoint(resume=resume)
    progress = loop.restore(checkpoint) if checkpoint else Progress()
    summary: dict[str, Any] = {
        "stage": "synthesis",
        "classes": list(data.classes),
        "samples": {"train": len(data.train), "val": len(data.val)},
        "unreadable": data.failed(),
        "provenance": facts,
    }
    with run.recorded(summary):
        progress = loop.fit(progress)
    seconds = round(sum(record["seconds"] for record in progress.records), 1)
    finished = {"status": "finished", "unreadable": data.failed(), "seconds": seconds}
    run.write("run.json", {**summary, **finished})
    return PretrainResult(run, FaceGenerator.load(run.path), progress)


def _prepare(
    config: FesganConfig,
    run: RunDirectory,
    data: TrainingData,
    facts: dict[str, Any],
    quiet: bool,
) -> SynthesisLoop:
    gan, accelerator = config.gan, make_accelerator(config)
    device = accelerator.device
    generator = build_generator(config, data.classes).to(device)
    generator.to(memory_format=torch.channels_last)
    critics = build_critics(gan, generator).to(device).to(memory_format=torch.channels_last)
    game = GanObjective(gan, generator, critics, load_identity_space(gan, device))
    guard = Guard(gan.guard)
    optim = gan.optim
    return SynthesisLoop(
        config=config,
        run=run,
        data=data,
        model=generator,
        ema=ModelEma(generator, optim.ema),
        optimizer=torch.optim.Adam(
            adam_groups(game, optim.lr, optim.critic_lr, optim.betas),
            fused=device.type in ("cpu", "cuda"),
        ),
        accelerator=accelerator,
        display=Display(quiet=quiet),
        extra=torch.nn.ModuleDict({"critics": critics, "guard": guard}),
        game=game,
        guard=guard,
        provenance=facts,
    )
