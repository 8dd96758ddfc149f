"""`ke2nt adapt`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ke2nt.cli.options import QuietFlag, resumed_alone, yaml_text
from ke2nt.cli.output import JsonFlag, print_json, print_line, print_table, resumable
from ke2nt.errors import ConfigError
from ke2nt.runtime.formatting import percent, percent_cell

if TYPE_CHECKING:
    from ke2nt.adapt.adapt_model import AdaptResult
    from ke2nt.config.adapt import AdaptConfig

__all__ = ["adapt"]

_SHORT = "adapt"  # the shipped configuration of the short form


def adapt(
    config: Annotated[
        str | None, typer.Argument(help="A YAML file or the name of a shipped configuration.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value, such as target.root=DIR adapt.method=dann"),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Run, saved model or hub id to start from.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", metavar="NAME=DIR", help="Images to adapt to, such as folder=DIR."
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="NAME=DIR", help="Labeled images, if they can be had."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("--method", help="dmsrl, dann, …; without a source: entropy or statistics."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Run directory; otherwise the configuration's.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Go on with the run in this directory.")
    ] = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Move a recognizer to images without labels, and report what changed.

    Examples: ke2nt adapt --model runs/ferplus_resnet18 --target folder=DIR ·
    ke2nt adapt dmsrl_drawn_to_ferplus target.root=DIR · ke2nt adapt --resume runs/adapted
    """
    settings = _settings(config, overrides, model, target, source, method, out, resume)
    from ke2nt.adapt.adapt_model import adapt as run_adaptation

    command = shlex.join(["ke2nt", *sys.argv[1:]])
    with resumable("ke2nt adapt", settings.out):
        result = run_adaptation(
            settings, resume=resume is not None, quiet=quiet or json, command=command
        )
    if json:
        print_json({"run": str(result.run.path), **result.facts})
        return
    _show(result)


def _settings(
    config: str | None,
    overrides: list[str] | None,
    model: str | None,
    target: str | None,
    source: str | None,
    method: str | None,
    out: Path | None,
    resume: Path | None,
) -> AdaptConfig:
    """The configuration that the command line asks for."""
    from ke2nt.config.adapt import AdaptConfig
    from ke2nt.config.load import load_config
    from ke2nt.training.run_directory import RunDirectory

    changes = list(overrides or [])
    if config is not None and "=" in config:
        changes, config = [config, *changes], None
    if resume is not None:
        new = {
            "a configuration": config,
            "key=value": changes,
            "--model": model,
            "--target": target,
            "--source": source,
            "--method": method,
            "--out": out,
        }
        resumed_alone("ke2nt adapt", resume, new)
        return RunDirectory(resume).load_config(AdaptConfig)
    if config is None and (model is None or target is None):
        raise ConfigError(
            "name a configuration, or a model and a target",
            hint="Type: ke2nt adapt CONFIG [key=value …], or ke2nt adapt --model RUN "
            "--target folder=DIR",
        )
    given: dict[str, str | None] = {"start": model, "out": None if out is None else str(out)}
    given["adapt.method"] = method or ("dmsrl" if source is not None and config is None else None)
    for section, text in (("target", target), ("data", source)):
        if text is not None:
            name, _, root = text.partition("=")
            given |= {f"{section}.name": name, f"{section}.root": root or None}
    words = [f"{key}={yaml_text(value)}" for key, value in given.items() if value is not None]
    settings = load_config(config or _SHORT, [*words, *changes], AdaptConfig)
    if source is not None and settings.source_free:
        raise ConfigError(
            f"the method {settings.adapt.method} sees no source", found=f"--source {source}"
        )
    named = source is not None or any(
        change.partition("=")[0].split(".")[0].strip() == "data" for change in changes
    )
    if config is None and not settings.source_free and not named:
        raise ConfigError(
            f"the method {settings.adapt.method} needs labeled images of the source",
            expected="--source NAME=DIR",
            hint="Without a source: --method entropy or --method statistics.",
        )
    return settings


def _show(result: AdaptResult) -> None:
    changes = result.changes
    sides = (changes.before.metrics, changes.after.metrics)
    print_line(
        f"the prediction changed for {percent(changes.changed_share)} of "
        f"{changes.num_images:,} images"
    )
    shares = zip(changes.classes, *(s.shares for s in sides), strict=True)
    print_table(
        ["predictions", "before %", "after %"],
        [(n, percent_cell(a), percent_cell(b)) for n, a, b in shares],
    )
    figures = [("mean confidence", *(percent_cell(s.confidence) for s in sides))]
    if result.before is not None and result.after is not None:
        reports = (result.before.report, result.after.report)
        figures += [
            ("accuracy", *(percent_cell(r.accuracy) for r in reports)),
            ("mean class recall (UAR)", *(percent_cell(r.uar) for r in reports)),
        ]
    print_table(["figure", "before %", "after %"], figures)
    print_line(" ".join([result.trust.sentence(), *result.trust.reasons]))
    for failed in result.facts["unreadable"]:
        print(f"unreadable: {failed['name']}: {failed['reason']}", file=sys.stderr)
    print_line(f"kept: {result.facts['selection']}")
    print_line(f"run: {result.run.path}   report: {result.run.report}")
