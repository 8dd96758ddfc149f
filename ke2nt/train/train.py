"""From a configuration to a trained, evaluated, saved model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from ke2nt.config.schema import TrainConfig
from ke2nt.data.augmentation import BatchAugmentation
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import CheckpointError
from ke2nt.evaluation.evaluate import evaluate_model
from ke2nt.evaluation.score import Evaluation
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.build import build_model
from ke2nt.models.card_facts import run_facts
from ke2nt.models.folder import update_folder
from ke2nt.models.recogniser import Recogniser
from ke2nt.models.saving import load_model
from ke2nt.runtime.distributed import barrier, group, is_main, world_size
from ke2nt.runtime.provenance import provenance
from ke2nt.runtime.seeding import seed_everything
from ke2nt.text.bank import TextBank
from ke2nt.train.checkpoint import Progress, latest_checkpoint, load_checkpoint
from ke2nt.train.data import TrainingData, load_training_data
from ke2nt.train.device import make_accelerator
from ke2nt.train.display import Display
from ke2nt.train.ema import ModelEma
from ke2nt.train.loop import Trainer, global_batch
from ke2nt.train.optim import make_optimizer
from ke2nt.train.page import write_run_report
from ke2nt.train.run import RunDirectory
from ke2nt.train.sync_norm import synchronise_batch_norm

__all__ = ["TrainResult", "train"]


@dataclass(frozen=True)
class TrainResult:
    """What a finished run gives.

    Attributes:
        run: The run directory.
        evaluation: Figures of the kept model on the selection split.
        progress: Log records, best epoch.
        data: The splits, decoded.
    """

    run: RunDirectory
    evaluation: Evaluation
    progress: Progress
    data: TrainingData


def train(
    config: TrainConfig, *, resume: bool = False, quiet: bool = False, command: str | None = None
) -> TrainResult:
    """Train as a configuration says; everything is written to the folder `config.out`.

    Under `torchrun` or `accelerate launch`, the processes share each batch of `optim.batch_size`
    images and all evaluations; the main one writes.

    Args:
        config: The run's configuration.
        resume: Go on with the run that is in `config.out`.
        quiet: No progress on stderr.
        command: The command line, stored with the run.

    Raises:
        Ke2ntError: Anything a user can mend; what was computed before stays in the run directory.
        TrainingStopped: Ctrl-C; the state has been saved.
    """
    with group():
        return _train(config, resume, quiet or not is_main(), command)


def _train(config: TrainConfig, resume: bool, quiet: bool, command: str | None) -> TrainResult:
    run = RunDirectory(config.out)
    seed_everything(config.seed)
    accelerator = make_accelerator(config)
    preprocessing = Preprocessing(image_size=config.model.image_size, grey=config.model.grey)
    data = load_training_data(config, preprocessing, quiet=quiet)
    model = _build(config, data.classes, preprocessing)
    facts = {"seed": config.seed, "command": command, **provenance()}
    if not resume:
        if is_main():
            run.create(config)
            run.write("split.json", data.names())
    elif run.read("split.json") != data.names():
        raise CheckpointError(
            "the dataset has changed since the run began: its splits differ",
            where=run.path,
            hint="Start a new run.",
        )
    model.to(accelerator.device).to(memory_format=torch.channels_last)
    ema = ModelEma(model, config.optim.ema) if config.optim.ema is not None else None
    if world_size() > 1 and config.optim.sync_batch_norm:
        synchronise_batch_norm(model)
    optimizer = make_optimizer(model, config.optim)
    checkpoint = latest_checkpoint(run.checkpoints) if resume else None
    progress = load_checkpoint(checkpoint, model, ema, optimizer) if checkpoint else Progress()
    mean = model.preprocessing.mean
    trainer = Trainer(
        config=config,
        run=run,
        data=data,
        model=model,
        ema=ema,
        optimizer=optimizer,
        loss=KE2NTLoss(
            {
                "similarity": config.loss.similarity,
                "transformation": config.loss.transformation,
                "self_contrast": config.loss.self_contrast,
            },
            pairing=config.loss.pairing,
            label_smoothing=config.loss.label_smoothing,
        ),
        accelerator=accelerator,
        augment=BatchAugmentation(config.augment, (mean[0] * 255, mean[1] * 255, mean[2] * 255)),
        display=Display(config.optim.epochs, _steps(config, data), quiet=quiet),
        provenance=facts,
    )
    summary: dict[str, Any] = {
        "status": "running",
        "classes": list(data.classes),
        "samples": {"train": len(data.train), "val": len(data.val)},
        "selection": _selection(config, data),
        "initial_weights": model.provenance.get("initial_weights"),
        "unreadable": data.failed(),
        "provenance": facts,
    }
    if is_main():
        run.write("run.json", summary)
    try:
        progress = trainer.fit(progress)
    except BaseException as error:
        if is_main():
            run.write("run.json", {**summary, "status": f"stopped: {type(error).__name__}"})
        raise
    barrier()
    # The figures are those of the model as it was saved, in full precision.
    model = load_model(run.model)
    evaluation = evaluate_model(model, data.val, batch_size=256)
    result = TrainResult(run, evaluation, progress, data)
    if not is_main():
        return result
    run.write("metrics.json", {**evaluation.to_dict(), "selection": summary["selection"]})
    finished = {
        "status": "finished",
        "unreadable": data.failed(),
        "best_epoch": progress.best_epoch,
        "seconds": round(sum(r["seconds"] for r in progress.records), 1),
    }
    run.write("run.json", {**summary, **finished})
    update_folder(run.model, card=run_facts(run.model))
    write_run_report(
        run,
        config,
        model,
        evaluation,
        progress,
        data.val,
        facts,
        failed=data.train.failed,
        warnings=summary["selection"]["notes"],
    )
    return result


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
    # timm's weights bring the mean and deviation that they were trained with.
    given = None if options.weights == "timm" else preprocessing
    if options.head == "linear":
        model = build_model(
            architecture, classes=classes, weights=options.weights, preprocessing=given
        )
        model.preprocessing = replace(model.preprocessing, grey=options.grey)
        return model
    text = config.text
    bank = TextBank.build(
        text.prompts, encoder=text.encoder, classes=classes, cache_dir=text.cache_dir
    )
    architecture |= {
        "reduction": options.reduction,
        "logit_scale": text.logit_scale,
        "learn_logit_scale": text.learn_logit_scale,
    }
    model = build_model(architecture, bank=bank, weights=options.weights, preprocessing=given)
    model.preprocessing = replace(model.preprocessing, grey=options.grey)
    return model


def _steps(config: TrainConfig, data: TrainingData) -> int:
    count = len(data.train.usable)
    return count // global_batch(config, count)


def _selection(config: TrainConfig, data: TrainingData) -> dict[str, Any]:
    split = data.val.split
    how = f"{config.select.rule} epoch by {config.select.metric}"
    notes = []
    if config.select.on == "test":
        notes.append(
            "OPTIMISTIC PROTOCOL: the epoch was chosen on the test split; its figures are too good"
        )
    return {
        "dataset": split.dataset,
        "split": split.split,
        "rule": how if config.select.rule == "best" else "last epoch",
        "options": dict(config.data.options),
        "notes": notes,
    }
