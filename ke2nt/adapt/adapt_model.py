"""From a configuration to an adapted, compared and saved model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ke2nt.adapt.adaptation_report import write_adaptation_report
from ke2nt.adapt.answer_changes import Changes, compare, scored
from ke2nt.adapt.normalization_statistics import recompute_statistics
from ke2nt.adapt.setup import prepare_adaptation, prepare_entropy
from ke2nt.adapt.target_images import Target, load_target
from ke2nt.adapt.trust import Trust, judge_trust
from ke2nt.checkpoints.card_facts import evaluation_facts
from ke2nt.checkpoints.model_folder import update_folder
from ke2nt.config.adapt import AdaptConfig
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.tensors import FaceTensors
from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation.predictions import Predictions, compute_predictions
from ke2nt.evaluation.score import Evaluation
from ke2nt.labels import check_same_labels
from ke2nt.models.base import ExpressionModel
from ke2nt.models.load import load_model
from ke2nt.runtime.distributed import barrier, is_main, join_group, together
from ke2nt.runtime.provenance import provenance
from ke2nt.runtime.seeding import seed_everything, set_deterministic
from ke2nt.training.checkpoint import Progress
from ke2nt.training.device import make_accelerator
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train
from ke2nt.training.training_data import TrainingData, load_training_data

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["AdaptResult", "adapt"]

_CHOICES = {
    "last": "last epoch",
    "information": "epoch of most mutual information between target images and answers",
    "source": "epoch of the best figures on held-out source images",
}


@dataclass(frozen=True)
class AdaptResult:
    """What a finished adaptation gives.

    Attributes:
        run: The run directory.
        changes: What changed in the answers for the target.
        trust: How much the new model may be trusted.
        before: Figures of the first model against the target's labels, None where it has none.
        after: Figures of the adapted model likewise.
        answers: Of both models for the images of the report.
        facts: What `adaptation.json` holds.
    """

    run: RunDirectory
    changes: Changes
    trust: Trust
    before: Evaluation | None
    after: Evaluation | None
    answers: tuple[Predictions, Predictions]
    facts: Mapping[str, Any]


def adapt(
    config: AdaptConfig, *, resume: bool = False, quiet: bool = False, command: str | None = None
) -> AdaptResult:
    """Adapt as a configuration says; everything is written to the folder `config.out`.

    The target's labels, where it has any, are read after the adapted model has been saved.

    Args:
        config: The run's configuration.
        resume: Go on with the run that is in `config.out`.
        quiet: No progress on stderr.
        command: The command line, stored with the run.

    Raises:
        Ke2ntError: Anything a user can mend; what was computed before stays in the run directory.
        TrainingStopped: Ctrl-C; the state has been saved.
    """
    join_group(config.device)
    quiet = quiet or not is_main()
    run = RunDirectory(config.out)
    with run.kept_if_used():
        return _adapt(config, run, resume=resume, quiet=quiet, command=command)


def _adapt(
    config: AdaptConfig, run: RunDirectory, *, resume: bool, quiet: bool, command: str | None
) -> AdaptResult:
    target = _target(config, quiet)
    with together():
        if is_main() and not resume:
            run.create(config, command="ke2nt adapt")
    first = Path(config.start) if config.start is not None else _source_model(config, quiet)
    seed_everything(config.seed)
    set_deterministic(config.deterministic)
    accelerator = make_accelerator(config)
    model = _uncalibrated(first)
    model.card = {k: v for k, v in model.card.items() if k not in ("evaluations", "predict")}
    source = None
    if not config.source_free:
        source = load_training_data(config, model.preprocessing, quiet=quiet)
        check_same_labels(model.classes, source.classes, where="the source's images")
    run.begin(config, _names(source, target), resume=True)
    facts = {"seed": config.seed, "command": command, **provenance()}
    summary = {
        "classes": list(model.classes),
        "samples": {
            "target": len(target.images),
            **({} if source is None else {"train": len(source.train), "val": len(source.val)}),
        },
        "selection": {"rule": _choice(config)},
        "unreadable": {**target.images.failed, **({} if source is None else source.failed())},
        "provenance": facts,
    }
    with run.recorded(summary):
        progress = _move(
            config, run, source, target.images, model, accelerator, resume, facts, quiet
        )
    barrier()
    adapted = load_model(run.path)
    models = _uncalibrated(first), adapted
    result = _compare(config, run, models, source, target, summary, accelerator.device)
    if is_main():
        run.write("adaptation.json", result.facts)
        done = {"status": "finished", "best_epoch": progress.best_epoch}
        run.write("run.json", {**summary, **done, "seconds": _seconds(progress)})
        update_folder(run.model, card=_card(result))
        write_adaptation_report(
            run, config, result, adapted, progress, target.report, facts, before=first
        )
    return result


def _target(config: AdaptConfig, quiet: bool) -> Target:
    """The target, read before anything is trained."""
    if config.start is not None:
        model = load_model(config.start)
        return load_target(config.target, model.classes, model.preprocessing, quiet=quiet)
    reader = get_reader(config.data.name, config.data.root, config.data.options)
    classes = tuple(c for c in reader.classes if c not in config.data.hold_out)
    preprocessing = Preprocessing(image_size=config.model.image_size, gray=config.model.gray)
    return load_target(config.target, classes, preprocessing, quiet=quiet)


def _source_model(config: AdaptConfig, quiet: bool) -> Path:
    """Train the model to start from, unless that is done."""
    settings = config.source_run()
    run = RunDirectory(settings.out)
    if not run.finished:
        train(settings, resume=run.begun, quiet=quiet, command="ke2nt adapt")
    return run.path


def _uncalibrated(name: str | Path) -> ExpressionModel:
    """A saved model's own probabilities: a calibration of the source says nothing of the target."""
    model = load_model(name)
    model.calibration = None
    return model


def _names(source: TrainingData | None, target: Target) -> dict[str, Any]:
    split = target.images.split
    names = [sample.name for sample in split.samples]
    return {
        "target": {"dataset": split.dataset, "split": split.split, "names": names},
        **({} if source is None else source.names()),
    }


def _move(
    config: AdaptConfig,
    run: RunDirectory,
    source: TrainingData | None,
    images: FaceTensors,
    model: ExpressionModel,
    accelerator: Accelerator,
    resume: bool,
    facts: dict[str, Any],
    quiet: bool,
) -> Progress:
    """Adapt and save the model; of the target, this sees images alone."""
    made = {**facts, "adapted": {"method": config.adapt.method, "chosen": _choice(config)}}
    if config.adapt.method == "statistics":
        recompute_statistics(model.to(accelerator.device), images)
        if is_main():
            model.save_pretrained(run.model, provenance=made)
        return Progress()
    options = {"provenance": made, "quiet": quiet}
    trainer = (
        prepare_entropy(config, run, images, model, accelerator, **options)
        if source is None
        else prepare_adaptation(config, run, source, images, model, accelerator, **options)
    )
    checkpoint = run.newest_checkpoint(resume=resume)
    progress = trainer.restore(checkpoint) if checkpoint else Progress()
    return trainer.fit(progress)


def _compare(
    config: AdaptConfig,
    run: RunDirectory,
    models: tuple[ExpressionModel, ExpressionModel],
    source: TrainingData | None,
    target: Target,
    summary: Mapping[str, Any],
    device: torch.device,
) -> AdaptResult:
    """Both models on the target, and on held-out source images where there are any."""
    flip = config.select.flip_tta

    def answers_for(images: FaceTensors) -> tuple[Predictions, Predictions]:
        first, second = (
            compute_predictions(
                model,
                images,
                batch_size=256,
                device=device,
                precision="fp32",
                embeddings=True,
                flip_tta=flip,
            )
            for model in models
        )
        return first, second

    answers = answers_for(target.report)
    known = None if source is None else answers_for(source.val)
    for model in models:
        model.to("cpu")
    changes = compare(answers[0], answers[1], known, seed=config.seed)
    images = len(target.images.usable)
    trust = judge_trust(
        changes, adapted_on=images, source_images=None if source is None else len(source.train)
    )
    split = target.report.split
    settings = {"dataset": split.dataset, "split": split.split, "flip_tta": flip}
    figures = [
        None if target.truth is None else scored(a, target.truth, settings, seed=config.seed)
        for a in answers
    ]
    facts = {
        "method": config.adapt.method,
        "selection": summary["selection"]["rule"],
        "target": {
            "dataset": split.dataset,
            "split": target.images.split.split,
            "report_split": split.split,
            "adapted_to": images,
        },
        "labels": None if target.mapping is None else target.mapping.describe(),
        **changes.to_dict(),
        "unreadable": [
            {"name": name, "reason": reason} for name, reason in summary["unreadable"].items()
        ],
        "trust": {"level": trust.level, "reasons": list(trust.reasons)},
        "figures": {
            name: None if found is None else found.to_dict()
            for name, found in zip(("before", "after"), figures, strict=True)
        },
    }
    return AdaptResult(run, changes, trust, figures[0], figures[1], answers, facts)


def _card(result: AdaptResult) -> dict[str, Any]:
    """What the model's card says of the adaptation."""
    target = result.facts["target"]
    found = {
        "adapted": {
            "dataset": target["dataset"],
            "split": target["split"],
            "images": target["adapted_to"],
            "method": result.facts["method"],
        }
    }
    if result.after is None:
        return found
    return {**found, "evaluations": [evaluation_facts(result.after.to_dict())]}


def _choice(config: AdaptConfig) -> str:
    """How the kept model is chosen, in words: never by labels of the target."""
    if config.adapt.method == "statistics":
        return "no choice: one pass over the target"
    return _CHOICES[config.adapt.choose]


def _seconds(progress: Progress) -> float:
    return round(sum(r["seconds"] for r in progress.records), 1)
