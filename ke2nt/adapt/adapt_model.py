"""From a configuration to an adapted, compared and saved model."""

from __future__ import annotations

from typing import Any

from ke2nt.adapt.adapt_result import AdaptResult
from ke2nt.adapt.domains import Domains, load_source_images, load_target_images
from ke2nt.adapt.finish_adaptation import finish_adaptation
from ke2nt.adapt.gate import Gate, measure_gate
from ke2nt.adapt.methods import resolve_part_classes
from ke2nt.adapt.setup import prepare_adaptation, prepare_entropy
from ke2nt.adapt.starting_model import ADAPT_COMMAND, load_start, train_source
from ke2nt.checkpoints.find_model import WEIGHTS, find_model_folder, public_model_name
from ke2nt.config.adapt import UNTRAINED, AdaptConfig
from ke2nt.models.base import ExpressionModel
from ke2nt.models.recompute_statistics import recompute_statistics
from ke2nt.runtime.digest import digest_file
from ke2nt.runtime.distributed import barrier, is_main, join_group, together
from ke2nt.runtime.provenance import provenance
from ke2nt.runtime.seeding import seed_everything, set_deterministic
from ke2nt.training.compute import Compute, choose_compute
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory

__all__ = ["adapt"]

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
            run.create(config, command=ADAPT_COMMAND)
    name = config.start or train_source(config, quiet)
    start = find_model_folder(name)

    # the adaptation starts from the same random state, whether the source was trained now or not
    seed_everything(config.seed)
    set_deterministic(config.deterministic)
    compute = choose_compute(config)
    model = load_start(start)
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
    return finish_adaptation(config, run, name, domains, progress, summary, compute.device)


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


def _selection_rule(config: AdaptConfig, gate: Gate | None) -> str:
    """Describe how the kept epoch is chosen: never by labels of the target."""
    if gate is not None and not gate.opens:
        return f"the model as it was: the domains look the same (distance {gate.distance:.2f})"
    if config.adapt.method in UNTRAINED:
        return "no choice: one pass over the target"
    return _SELECTION_RULES[config.adapt.choose]
