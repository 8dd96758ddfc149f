"""From a configuration to a trained, evaluated, saved model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.card_facts import run_facts
from ke2nt.checkpoints.initial_weights import WeightReport
from ke2nt.checkpoints.model_folder import update_folder
from ke2nt.config.schema import TrainConfig
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.evaluation.score import Evaluation
from ke2nt.models.base import ExpressionModel
from ke2nt.models.load import load_model
from ke2nt.models.tuning import count_parameters
from ke2nt.pages.training_page import write_training_report
from ke2nt.runtime.distributed import barrier, is_main, join_group, together
from ke2nt.runtime.provenance import provenance
from ke2nt.runtime.seeding import seed_everything, set_deterministic
from ke2nt.training.attribute_stage import pretrain
from ke2nt.training.class_shares import training_prior
from ke2nt.training.compute import EVAL_BATCH_SIZE, choose_compute
from ke2nt.training.engine import Engine
from ke2nt.training.image_tower import (
    initial_preprocessing,
    resolve_image_size,
    resolve_text_encoder,
)
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.seen_images import record_training_images
from ke2nt.training.setup import prepare_engine
from ke2nt.training.sharding import check_sharding
from ke2nt.training.starting_model import read_starting_model
from ke2nt.training.teacher import teacher_facts
from ke2nt.training.training_data import TrainingData, load_training_data

__all__ = ["TrainResult", "train"]


@dataclass(frozen=True)
class TrainResult:
    """What a finished run returns.

    Attributes:
        run: The run directory.
        evaluation: Evaluation of the kept model on the selection split.
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
    make_engine: Callable[..., Engine] = prepare_engine,
    page: bool = True,
) -> TrainResult:
    """Train as a configuration says; everything is written to the folder `config.out`.

    Under `torchrun` or `accelerate launch`, the processes share each batch of `optim.batch_size`
    images and all evaluations; the main process writes.

    Args:
        config: Configuration of the run.
        resume: Resume the run in `config.out`.
        quiet: Show no progress.
        command: The command line, saved with the run.
        make_engine: Builds the engine; takes what `prepare_engine` takes.
        page: Whether to write the HTML report, which takes seconds.

    Raises:
        Ke2ntError: Anything a user can fix; results so far stay in the run directory.
        TrainingStopped: Ctrl-C or SIGTERM; the state is saved.
    """
    join_group(config.device)
    run = RunDirectory(config.out)
    with run.discard_unless_used():
        return _train(
            config,
            run,
            resume=resume,
            quiet=quiet or not is_main(),
            command=command,
            make_engine=make_engine,
            page=page,
        )


def _train(
    config: TrainConfig,
    run: RunDirectory,
    *,
    resume: bool,
    quiet: bool,
    command: str | None,
    make_engine: Callable[..., Engine],
    page: bool,
) -> TrainResult:
    """Load the data, run one or two stages, and evaluate."""
    check_sharding(config)
    with together():
        if is_main() and not resume:
            run.check_free()
    checkpoint = run.newest_checkpoint(resume=resume)
    seed_everything(config.seed)
    set_deterministic(config.deterministic)
    compute = choose_compute(config)

    # a model to start from decides on the image encoder now, on the text once the classes are known
    start, started_from = read_starting_model(config), None
    if start is None:
        config = resolve_image_size(config, quiet=quiet)
        preprocessing = initial_preprocessing(config)
        data = load_training_data(config, preprocessing, quiet=quiet)
    else:
        config, preprocessing = start.resolve_model(config), start.saved.preprocessing
        data = load_training_data(config, preprocessing, quiet=quiet)
        config, started_from = start.resolve_text(config, data.classes), start.facts()
    # the run records the encoder that it was trained with
    config = resolve_text_encoder(config, quiet=quiet)

    facts = {
        "seed": config.seed,
        "command": command,
        "precision": compute.precision,
        **provenance(),
    }
    teacher = teacher_facts(config)
    run.begin(config, data.split_record(), resume=resume, start=started_from, teacher=teacher)

    if is_main():
        record_training_images(run, data, config.start)

    # stage 1 of two leaves weights of the image side
    image_side, first_stage = None, None
    if config.pretrain is not None:
        image_side, first_stage = pretrain(config, run, data, compute, preprocessing, quiet=quiet)

    # a checkpoint replaces all that was initialized
    options = {"image_side": image_side, "provenance": facts, "quiet": quiet}
    engine = make_engine(config, run, data, compute, preprocessing, **options)
    progress = engine.restore(checkpoint)
    model = engine.task.state.model
    initial_weights = model.provenance.get("initial_weights")
    if initial_weights and "report" in initial_weights and not quiet and is_main():
        report = WeightReport.from_dict(initial_weights["report"])
        print(f"initial weights {initial_weights['source']}: {report.describe()}", file=sys.stderr)
    trained = count_parameters(model, config.model.tune)
    if not quiet and is_main():
        print(trained.describe(random=initial_weights is None), file=sys.stderr)
    summary = {**_summary(config, data, facts, model), "parameters": trained.to_dict()}
    if started_from is not None:
        summary["started_from"] = started_from
    if teacher is not None:
        summary["teacher"] = teacher
    if first_stage is not None:
        summary["pretrain"] = first_stage

    with run.recorded(summary):
        progress = engine.fit(progress)
    barrier()
    return _finish(config, run, data, compute.device, progress, summary, page=page)


def _summary(
    config: TrainConfig, data: TrainingData, facts: dict[str, Any], model: ExpressionModel
) -> dict[str, Any]:
    """What `run.json` says of a run from its start."""
    return {
        "classes": list(data.classes),
        "samples": {"train": len(data.train), "val": len(data.val)},
        "selection": _selection(config, data),
        "initial_weights": model.provenance.get("initial_weights"),
        "text": _text_facts(model.bank),
        "unreadable": data.failed(),
        "provenance": facts,
    }


def _text_facts(bank: TextBank | None) -> dict[str, Any] | None:
    """What decides the text embeddings, and doubts about them; None without text."""
    if bank is None:
        return None
    names = ("encoder", "weights", "prompt_set", "geometry", "activation", "notes")
    return {name: bank.provenance[name] for name in names if name in bank.provenance}


def _selection(config: TrainConfig, data: TrainingData) -> dict[str, Any]:
    """How the kept epoch is chosen, with a warning if that is on the test split."""
    split, select = data.val.split, config.select
    best = select.rule == "best"
    notes = []
    if select.on == "test" or (best and split.split == "test"):
        notes.append(
            "OPTIMISTIC PROTOCOL: the epoch was chosen on the test split; its metrics are too high"
        )
    return {
        "dataset": split.dataset,
        "split": split.split,
        "rule": f"best epoch by {select.metric}" if best else "last epoch",
        "carved_from": data.carved_from,
        "options": dict(config.data.options),
        "notes": notes,
    }


def _finish(
    config: TrainConfig,
    run: RunDirectory,
    data: TrainingData,
    device: torch.device,
    progress: Progress,
    summary: dict[str, Any],
    *,
    page: bool,
) -> TrainResult:
    """Evaluate the model as it was saved, in full precision, and write metrics, card and report."""
    model = load_model(run.path)
    evaluation = evaluate_model(
        model,
        data.val,
        batch_size=EVAL_BATCH_SIZE,
        device=device,
        precision="fp32",
        flip_tta=config.select.flip_tta,
    )
    model.to("cpu")  # where the report is made
    result = TrainResult(run, evaluation, progress, data)
    if not is_main():
        return result

    # "finished" in run.json promises metrics and card, so it comes after them
    selection = summary["selection"]
    run.write("metrics.json", {**evaluation.to_dict(), "selection": selection})
    finished = {
        "status": "finished",
        "unreadable": data.failed(),
        "best_epoch": progress.best_epoch,
        "seconds": progress.seconds(),
    }

    # facts that prediction reads, beside those that the card shows
    predict = {"face_pixels": data.native_side()}
    prior = training_prior(data, config).to_dict()
    card = {**run_facts(run.model), "predict": predict, "class_prior": prior}
    update_folder(run.model, card=card)
    run.write("run.json", {**summary, **finished})
    if page:
        write_training_report(
            run.report,
            config=config.model_dump(mode="json"),
            model=model,
            evaluation=evaluation,
            images=data.val,
            records=progress.records,
            best_epoch=progress.best_epoch,
            provenance=summary["provenance"],
            failed=data.train.failed,
            warnings=selection["notes"],
        )
    run.end(config)
    return result
