"""From a configuration to a trained, evaluated, saved model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ke2nt.checkpoints.card_facts import run_facts
from ke2nt.checkpoints.model_folder import update_folder
from ke2nt.config.schema import TrainConfig
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.evaluation.score import Evaluation
from ke2nt.models.load import load_model
from ke2nt.runtime.distributed import barrier, is_main, join_group
from ke2nt.runtime.provenance import provenance
from ke2nt.runtime.seeding import seed_everything, set_deterministic
from ke2nt.training.attribute_stage import pretrain
from ke2nt.training.device import choose_compute
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.run_page import write_run_report
from ke2nt.training.setup import prepare_engine
from ke2nt.training.training_data import TrainingData, load_training_data

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
    config: TrainConfig,
    *,
    resume: bool = False,
    quiet: bool = False,
    command: str | None = None,
    prepare: Callable[..., Any] = prepare_engine,
) -> TrainResult:
    """Train as a configuration says; everything is written to the folder `config.out`.

    Under `torchrun` or `accelerate launch`, the processes share each batch of `optim.batch_size`
    images and all evaluations; the main one writes.

    Args:
        config: The run's configuration.
        resume: Go on with the run that is in `config.out`.
        quiet: No progress on stderr.
        command: The command line, stored with the run.
        prepare: Builds the engine; takes what `prepare_engine` takes.

    Raises:
        Ke2ntError: Anything a user can mend; what was computed before stays in the run directory.
        TrainingStopped: Ctrl-C; the state has been saved.
    """
    join_group(config.device)
    quiet = quiet or not is_main()
    run = RunDirectory(config.out)
    with run.kept_if_used():
        return _train(config, run, resume=resume, quiet=quiet, command=command, prepare=prepare)


def _train(
    config: TrainConfig,
    run: RunDirectory,
    *,
    resume: bool,
    quiet: bool,
    command: str | None,
    prepare: Callable[..., Any],
) -> TrainResult:
    seed_everything(config.seed)
    set_deterministic(config.deterministic)
    compute = choose_compute(config)
    preprocessing = Preprocessing(image_size=config.model.image_size, gray=config.model.gray)
    data = load_training_data(config, preprocessing, quiet=quiet)
    facts = {
        "seed": config.seed,
        "command": command,
        "precision": compute.precision,
        **provenance(),
    }
    run.begin(config, data.names(), resume=resume)
    image_side, first_stage = None, None
    if config.pretrain is not None:
        image_side, first_stage = pretrain(config, run, data, compute, preprocessing, quiet=quiet)
    engine = prepare(
        config,
        run,
        data,
        compute,
        preprocessing,
        image_side=image_side,
        provenance=facts,
        quiet=quiet,
    )
    checkpoint = run.newest_checkpoint(resume=resume)
    progress = engine.restore(checkpoint) if checkpoint else Progress()
    summary: dict[str, Any] = {
        "classes": list(data.classes),
        "samples": {"train": len(data.train), "val": len(data.val)},
        "selection": _selection(config, data),
        "initial_weights": engine.task.state.model.provenance.get("initial_weights"),
        "unreadable": data.failed(),
        "provenance": facts,
    }
    if first_stage is not None:
        summary["pretrain"] = first_stage
    with run.recorded(summary):
        progress = engine.fit(progress)
    barrier()
    return _finish(config, run, data, compute.device, progress, summary)


def _finish(
    config: TrainConfig,
    run: RunDirectory,
    data: TrainingData,
    device: torch.device,
    progress: Progress,
    summary: dict[str, Any],
) -> TrainResult:
    """Judge the model as it was saved, in full precision, and write all that is said of it."""
    model = load_model(run.path)
    evaluation = evaluate_model(
        model,
        data.val,
        batch_size=256,
        device=device,
        precision="fp32",
        flip_tta=config.select.flip_tta,
    )
    model.to("cpu")
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
    predict = {"face_pixels": data.face_pixels()}
    update_folder(run.model, card={**run_facts(run.model), "predict": predict})
    write_run_report(
        run,
        config,
        model,
        evaluation,
        progress,
        data.val,
        summary["provenance"],
        failed=data.train.failed,
        warnings=summary["selection"]["notes"],
    )
    return result


def _selection(config: TrainConfig, data: TrainingData) -> dict[str, Any]:
    split = data.val.split
    how = f"{config.select.rule} epoch by {config.select.metric}"
    notes = []
    chosen_there = split.split == "test" and config.select.rule == "best"
    if config.select.on == "test" or chosen_there:
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
