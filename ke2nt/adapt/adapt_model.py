"""From a configuration to an adapted, compared and saved model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ke2nt.adapt.adapt_result import AdaptResult
from ke2nt.adapt.adaptation_page import build_adaptation_report
from ke2nt.adapt.compare_models import compare_models
from ke2nt.adapt.domains import (
    Domains,
    load_source_images,
    load_target_images,
    source_form,
)
from ke2nt.adapt.gate import Gate, measure_gate
from ke2nt.adapt.methods import resolve_part_classes
from ke2nt.adapt.setup import prepare_adaptation, prepare_entropy
from ke2nt.adapt.share_correction import estimate_correction
from ke2nt.checkpoints.card_facts import evaluation_facts
from ke2nt.checkpoints.find_model import WEIGHTS, find_model_folder, public_model_name
from ke2nt.checkpoints.model_folder import update_folder
from ke2nt.config.adapt import UNTRAINED, AdaptConfig
from ke2nt.models.base import ExpressionModel
from ke2nt.models.load import load_model
from ke2nt.models.recompute_statistics import recompute_statistics
from ke2nt.pages.render import write_report
from ke2nt.runtime.digest import digest_file
from ke2nt.runtime.distributed import barrier, is_main, join_group, together
from ke2nt.runtime.provenance import provenance
from ke2nt.runtime.seeding import seed_everything, set_deterministic
from ke2nt.training.compute import Compute, choose_compute
from ke2nt.training.initial_model import build_initial_model
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train

__all__ = ["adapt"]

_COMMAND = "ke2nt adapt"
_OF_SOURCE = ("evaluations", "predict", "class_prior")  # facts of a card on the source domain
_SELECTION_RULES = {
    "last": "last epoch",
    "information": "epoch with the highest mutual information between target images and "
    "predictions",
    "source": "epoch with the best metric on held-out source images",
}


def adapt(
    config: AdaptConfig, *, resume: bool = False, quiet: bool = False, command: str | None = None
) -> AdaptResult:
    """Adapt a model as configured, and write everything to the folder `config.out`.

    Labels of the target, if there are any, are read after the adapted model has been saved.

    Args:
        config: The run's configuration.
        resume: Continue the run in `config.out`.
        quiet: No progress on stderr.
        command: The command line, stored with the run.

    Raises:
        Ke2ntError: A mistake that the user can fix; results up to then stay in the run directory.
        TrainingStopped: Ctrl-C; the state has been saved.
    """
    join_group(config.device)
    # of several processes, only the main one shows progress
    quiet = quiet or not is_main()
    run = RunDirectory(config.out)
    with run.discard_unless_used():
        return _adapt(config, run, resume=resume, quiet=quiet, command=command)


def _adapt(
    config: AdaptConfig, run: RunDirectory, *, resume: bool, quiet: bool, command: str | None
) -> AdaptResult:
    # find mistakes in method and target before a source model is trained
    if not config.source_free:
        resolve_part_classes(config.adapt)
    target = load_target_images(config, quiet)
    with together():
        if is_main() and not resume:
            run.create(config, command=_COMMAND)
    name = config.start or _train_source(config, quiet)
    start = find_model_folder(name)

    # the adaptation starts from the same random state, whether the source was trained now or not
    seed_everything(config.seed)
    set_deterministic(config.deterministic)
    compute = choose_compute(config)
    model = _load_start(start)
    domains = Domains(load_source_images(config, model, quiet), target)
    began_with = {"model": public_model_name(name), "sha256": digest_file(start / WEIGHTS)}
    run.begin(config, domains.split_record(), resume=True, start=began_with)

    gate = measure_gate(config, domains, model, compute)
    facts = {"seed": config.seed, "command": command, **provenance()}
    summary = {
        "classes": list(model.classes),
        "samples": domains.sizes(),
        "selection": {"rule": _selection_rule(config, gate)},
        "gate": None if gate is None else gate.to_dict(),
        "unreadable": domains.failed(),
        "provenance": facts,
    }
    with run.recorded(summary):
        progress = _adapt_model(
            config, run, domains, model, compute, gate, resume=resume, facts=facts, quiet=quiet
        )
    barrier()
    return _finish(config, run, name, domains, progress, summary, compute.device)


def _train_source(config: AdaptConfig, quiet: bool) -> Path:
    """Train the model to start from, unless that is done; return its run directory."""
    settings = config.source_run()
    run = RunDirectory(settings.out)
    if not config.adapt.train_source:
        _save_initial_model(config, run)
        return run.path

    # an interrupted source training is resumed
    if not run.finished:
        train(settings, resume=run.exists, quiet=quiet, command=_COMMAND)
    return run.path


def _save_initial_model(config: AdaptConfig, run: RunDirectory) -> None:
    """Save the model that nothing has been trained on, unless that is done."""
    if is_main() and not run.model.exists():
        seed_everything(config.seed)
        model = build_initial_model(config.source_run(), *source_form(config))
        model.save_pretrained(run.model)
    barrier()


def _load_uncalibrated(name: str | Path) -> ExpressionModel:
    """Load a model without its calibration, which was fitted on the source domain."""
    model = load_model(name)
    model.calibration = model.familiarity = None
    return model


def _load_start(name: str | Path) -> ExpressionModel:
    """Load the model to adapt, without what its card says of the source domain."""
    model = _load_uncalibrated(name)
    model.card = {k: v for k, v in model.card.items() if k not in _OF_SOURCE}
    return model


def _adapt_model(
    config: AdaptConfig,
    run: RunDirectory,
    domains: Domains,
    model: ExpressionModel,
    compute: Compute,
    gate: Gate | None,
    *,
    resume: bool,
    facts: dict[str, Any],
    quiet: bool,
) -> Progress:
    """Adapt and save the model; no label of the target is read here."""
    # stored with the model, whatever the method
    images = domains.target.images
    adapted: dict[str, Any] = {
        "method": config.adapt.method,
        "chosen": _selection_rule(config, gate),
    }
    if gate is not None:
        adapted["gate"] = gate.to_dict()
    options: dict[str, Any] = {"provenance": {**facts, "adapted": adapted}}
    # AdaBN is one pass without training; a correction for class shares is added at the end
    if config.adapt.method in UNTRAINED or (gate is not None and not gate.opens):
        if config.adapt.method == "statistics":
            recompute_statistics(model.to(compute.device), images)
        if is_main():
            model.save_pretrained(run.model, **options)
        return Progress()

    options["quiet"] = quiet
    if domains.source is None:
        engine = prepare_entropy(config, run, images, model, compute, **options)
    else:
        engine = prepare_adaptation(config, run, domains.source, images, model, compute, **options)
    checkpoint = run.newest_checkpoint(resume=resume)
    return engine.fit(engine.restore(checkpoint))


def _finish(
    config: AdaptConfig,
    run: RunDirectory,
    start: str | Path,
    domains: Domains,
    progress: Progress,
    summary: Mapping[str, Any],
    device: torch.device,
) -> AdaptResult:
    """Compare both models and write the results."""
    # the model as it was saved, not as it is in memory
    adapted = load_model(run.path)
    estimator = config.adapt.share_estimator
    if estimator is not None and domains.source is not None:
        images = domains.source.val, domains.target.images
        compute = Compute(device)
        adapted.calibration = None
        power = config.adapt.share_power
        shares = estimate_correction(
            adapted, *images, estimator, compute, power=power, seed=config.seed
        )
        summary = {**summary, "class_shares": shares.to_dict()["class_shares"]}
        if shares.trusted:
            adapted.calibration = shares.calibration()
            if is_main():
                update_folder(run.model, calibration=adapted.calibration)
    models = (_load_uncalibrated(start), adapted)
    result = compare_models(config, run, models, domains, summary, device)
    if not is_main():
        return result

    # the page comes last: it is not needed to use the model
    _write_results(config, run, result, progress, summary)
    report = build_adaptation_report(
        config,
        result,
        progress,
        domains.target.report_images,
        summary["provenance"],
        start_name=public_model_name(start),
        bank=adapted.bank,
    )
    write_report(run.report, report)
    run.end(config)
    return result


def _write_results(
    config: AdaptConfig,
    run: RunDirectory,
    result: AdaptResult,
    progress: Progress,
    summary: Mapping[str, Any],
) -> None:
    """Write the JSON files of a finished run and the model card."""
    run.write("adaptation.json", result.facts)

    # the model card names the target, and its metrics where there are labels
    target = result.facts["target"]
    card: dict[str, Any] = {
        "adapted": {
            "dataset": target["dataset"],
            "split": target["split"],
            "images": target["adapted_to"],
            "method": config.adapt.method,
        }
    }
    if result.after is not None:
        card["evaluations"] = [evaluation_facts(result.after.to_dict())]
    update_folder(run.model, card=card)

    # the run is complete
    status = {
        "status": "finished",
        "best_epoch": progress.best_epoch,
        "seconds": progress.seconds(),
    }
    run.write("run.json", {**summary, **status})


def _selection_rule(config: AdaptConfig, gate: Gate | None) -> str:
    """Describe how the kept epoch is chosen: never by labels of the target."""
    if gate is not None and not gate.opens:
        return f"the model as it was: the domains look the same (distance {gate.distance:.2f})"
    if config.adapt.method in UNTRAINED:
        return "no choice: one pass over the target"
    return _SELECTION_RULES[config.adapt.choose]
