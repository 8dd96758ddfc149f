"""`ke2nt adapt`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import quote_yaml
from ke2nt.cli.options import OutputOptions
from ke2nt.cli.output import (
    command_line,
    print_json,
    print_line,
    print_table,
    print_unreadable,
    resumable,
)
from ke2nt.cli.run_options import (
    ConfigArgument,
    KeepFlag,
    ResumeOption,
    RunFolderOption,
    check_resumed_alone,
)
from ke2nt.errors import ConfigError
from ke2nt.runtime.formatting import percent, percent_cell

if TYPE_CHECKING:
    from ke2nt.adapt.adapt_result import AdaptResult
    from ke2nt.config.adapt import AdaptConfig

__all__ = ["adapt"]

_SHORT_FORM = "adapt"  # the shipped configuration for --model and --target


@dataclass(frozen=True)
class _AdaptOptions:
    """What to adapt to what: a configuration, or a model and a target."""

    config: ConfigArgument = None
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value, such as target.root=DIR adapt.method=dann"),
    ] = None
    model: Annotated[
        str | None, typer.Option("--model", help="Run, saved model or hub id to start from.")
    ] = None
    target: Annotated[
        str | None,
        typer.Option(
            "--target", metavar="NAME=DIR", help="Images to adapt to, such as folder=DIR."
        ),
    ] = None
    source: Annotated[
        str | None,
        typer.Option(
            "--source", metavar="NAME=DIR", help="Labeled images of the source, if available."
        ),
    ] = None
    method: Annotated[
        str | None,
        typer.Option("--method", help="dmsrl, dann, …; without a source: entropy or statistics."),
    ] = None
    out: RunFolderOption = None
    resume: ResumeOption = None
    keep: KeepFlag = False

    def split_config(self) -> tuple[str | None, list[str]]:
        """Return configuration and overrides; without a configuration, overrides come first."""
        overrides = list(self.overrides or [])
        if self.config is not None and "=" in self.config:
            return None, [self.config, *overrides]
        return self.config, overrides


@with_option_groups
def adapt(options: _AdaptOptions, output: OutputOptions) -> None:
    """Adapt a recognizer to images without labels, and report what changed.

    Examples: ke2nt adapt --model runs/ferplus_resnet18 --target folder=DIR ·
    ke2nt adapt dmsrl_drawn_to_ferplus target.root=DIR · ke2nt adapt --resume runs/adapted
    """
    config = _load_config(options)
    from ke2nt.adapt.adapt_model import adapt as adapt_model

    with resumable("ke2nt adapt", config.out):
        result = adapt_model(
            config,
            resume=options.resume is not None,
            quiet=output.hides_progress,
            command=command_line(),
        )
    if output.json:
        print_json({"run": str(result.run.path), **result.facts})
        return
    _show(result)


def _load_config(options: _AdaptOptions) -> AdaptConfig:
    """Return the configuration of a new run, or of the one to resume."""
    from ke2nt.config.adapt import AdaptConfig
    from ke2nt.config.load import load_config

    # a resumed run has its configuration; everything else would contradict it
    name, overrides = options.split_config()
    if options.resume is not None:
        new_run_options = {
            "a configuration": name,
            "key=value": overrides,
            "--model": options.model,
            "--target": options.target,
            "--source": options.source,
            "--method": options.method,
            "--out": options.out,
            "--keep": options.keep,
        }
        check_resumed_alone("ke2nt adapt", options.resume, new_run_options)
        from ke2nt.training.run_directory import RunDirectory

        return RunDirectory(options.resume).load_config(AdaptConfig)

    if name is None and (options.model is None or options.target is None):
        raise ConfigError(
            "name a configuration, or a model and a target",
            hint="Type: ke2nt adapt CONFIG [key=value …], or ke2nt adapt --model RUN "
            "--target folder=DIR",
        )

    # overrides that were typed come last, so that they win over the options
    all_overrides = [*_option_overrides(options, name), *overrides]
    if options.source is not None:
        _check_source_used(load_config(name or _SHORT_FORM, all_overrides, AdaptConfig), options)
    config = load_config(name or _SHORT_FORM, all_overrides, AdaptConfig, command="adapt")
    _check_source_named(config, options.source, name, overrides)
    from ke2nt.adapt.names import check_adaptation_names

    check_adaptation_names(config)
    return config


def _option_overrides(options: _AdaptOptions, config: str | None) -> list[str]:
    """Return the overrides that the options stand for."""
    values: dict[str, str | None] = {
        "start": options.model,
        "out": None if options.out is None else str(options.out),
        "keep": "true" if options.keep else None,
        "adapt.method": options.method,
    }

    # with labeled images, the short form uses them; without a method it would be source-free
    if options.method is None and options.source is not None and config is None:
        values["adapt.method"] = "dmsrl"

    # "folder=DIR" names dataset and root; a dataset alone has no root, such as drawn
    for section, text in (("target", options.target), ("data", options.source)):
        if text is not None:
            name, _, root = text.partition("=")
            values |= {f"{section}.name": name, f"{section}.root": root or None}
    return [f"{key}={quote_yaml(value)}" for key, value in values.items() if value is not None]


def _check_source_used(config: AdaptConfig, options: _AdaptOptions) -> None:
    """Check that the method uses the labeled images of --source."""
    if config.source_free:
        raise ConfigError(
            f"the method {config.adapt.method} does not use source images",
            found=f"--source {options.source}",
        )


def _check_source_named(
    config: AdaptConfig, source: str | None, name: str | None, overrides: list[str]
) -> None:
    """Check that labeled images are named if the method needs them."""
    # configurations name their source; the short form does not
    method = config.adapt.method
    sections = [override.partition("=")[0].split(".")[0].strip() for override in overrides]
    if name is None and not config.source_free and source is None and "data" not in sections:
        raise ConfigError(
            f"the method {method} needs labeled images of the source",
            expected="--source NAME=DIR",
            hint="Without a source: --method entropy or --method statistics.",
        )


def _show(result: AdaptResult) -> None:
    changes = result.changes

    # shares of the predicted classes show a collapse, even without labels
    sides = (changes.before.metrics, changes.after.metrics)
    changed = percent(changes.changed_share)
    print_line(f"the prediction changed for {changed} of {changes.num_images:,} images")
    shares = zip(changes.classes, *(side.shares for side in sides), strict=True)
    print_table(
        ["predictions", "before %", "after %"],
        [(name, percent_cell(before), percent_cell(after)) for name, before, after in shares],
    )

    # what the predictions were corrected by, with adapt.shares
    if estimated := result.facts["class_shares"]:
        domains = (estimated["source"].items(), estimated["target"].values())
        print_table(
            ["class shares", "source %", "target, estimated %"],
            [
                (name, percent_cell(source), percent_cell(target))
                for (name, source), target in zip(*domains, strict=True)
            ],
        )

        if not estimated.get("check", {"passed": True})["passed"]:
            print_line("predictions are not corrected: the estimated shares cannot be trusted")

    # only labeled targets have an accuracy
    metrics = [("mean confidence", *(percent_cell(side.confidence) for side in sides))]
    if result.before is not None and result.after is not None:
        reports = (result.before.report, result.after.report)
        metrics += [
            ("accuracy", *(percent_cell(report.accuracy) for report in reports)),
            ("mean class recall (UAR)", *(percent_cell(report.uar) for report in reports)),
        ]
    print_table(["metric", "before %", "after %"], metrics)

    print_line(" ".join([result.trust.sentence(), *result.trust.reasons]))
    print_unreadable((entry["name"], entry["reason"]) for entry in result.facts["unreadable"])
    print_line(f"kept: {result.facts['selection']}")
    print_line(f"run: {result.run.path}   report: {result.run.report}")
