"""`ke2nt bench`: throughput of training, prediction and the text cache on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ke2nt.cli.names import check_model_name
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.options import JsonFlag, resolve_device
from ke2nt.cli.output import print_json, print_line, print_table
from ke2nt.errors import ConfigError

__all__ = ["app"]

app = typer.Typer(help="Measure how fast this machine is.", no_args_is_help=True)


@dataclass(frozen=True)
class _MeasureOptions:
    """How much is measured, and where."""

    batch: Annotated[int, typer.Option("--batch", min=1, help="Images in a batch.")] = 128
    steps: Annotated[int, typer.Option(min=1, help="Batches in a measurement.")] = 8
    rounds: Annotated[int, typer.Option(min=1, help="Measurements per loop, in alternation.")] = 3
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto"


@dataclass(frozen=True)
class _TrainingMeasureOptions(_MeasureOptions):
    batch: Annotated[int, typer.Option("--batch", min=2, help="Images in a batch.")] = 64


@app.command("train")
@with_option_groups
def train_command(
    measure: _TrainingMeasureOptions,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, as for `ke2nt train`")
    ] = None,
    backbone: Annotated[str, typer.Option(help="Any timm backbone.")] = "resnet18",
    size: Annotated[int, typer.Option(min=16, help="Input size in pixels.")] = 112,
    reference: Annotated[
        bool, typer.Option(help="Also measure a loop in the style of published code.")
    ] = True,
    json: JsonFlag = False,
) -> None:
    """Measure images/s of the bare backbone, the training loop, and a loop like published code.

    Optimizer, augmentation and losses are those of the published run unless you change them.
    """
    from ke2nt.config.load import load_config, override_config
    from ke2nt.models.backbone_names import check_backbone_name

    # the published run on RAF-DB, with what was asked for in its place
    config = override_config(
        load_config("rafdb_resnet18"),
        [
            f"model.backbone={backbone}",
            f"model.image_size={size}",
            f"optim.batch_size={measure.batch}",
            f"device={measure.device}",
            *(overrides or []),
        ],
        command="bench train",
    )
    check_backbone_name(config.model.backbone)

    # torch is imported here: a wrong name is reported before that takes seconds
    from ke2nt.speed.training import training_speed

    report = training_speed(
        config, steps=measure.steps, rounds=measure.rounds, reference=reference, quiet=json
    )
    _show(report, ("loop_over_bare", "loop_over_reference"), json)


@app.command("infer")
@with_option_groups
def infer_command(
    measure: _MeasureOptions,
    model: Annotated[
        Path | None, typer.Argument(help="A run or model. Default: an untrained one.")
    ] = None,
    backbone: Annotated[str, typer.Option(help="Backbone of the untrained model.")] = "resnet18",
    size: Annotated[
        int | None, typer.Option(min=16, help="Its input size in pixels. Default: 112.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Measure images/s of a model's bare forward pass, and of batch prediction."""
    from ke2nt.models.backbone_names import check_backbone_name

    # names are checked before torch is imported
    if model is None:
        check_backbone_name(backbone)
    else:
        check_model_name(model)

    from ke2nt.speed.inference import measure_inference

    report = measure_inference(
        _load_or_build(model, backbone, size),
        batch_size=measure.batch,
        steps=measure.steps,
        rounds=measure.rounds,
        device=resolve_device(None if measure.device == "auto" else measure.device),
        quiet=json,
    )
    _show(report, ("predict_over_bare",), json)


def _load_or_build(model: Path | None, backbone: str, size: int | None) -> Any:
    """Load a model, or build an untrained one."""
    from ke2nt.banks.text_bank import TextBank
    from ke2nt.models.ke2nt import KE2NT
    from ke2nt.models.load import load_model

    # speed does not depend on what the weights have learned
    if model is None:
        return KE2NT(TextBank.build("paper"), backbone, size or 112)
    if size is not None:
        raise ConfigError(
            "--size is for untrained models; a trained model has its own size",
            found=f"--size {size}",
            hint="Leave it out.",
        )
    return load_model(model)


@app.command("cache")
def cache_command(
    encoder: Annotated[str, typer.Option(help="A text encoder on this machine.")] = "minilm",
    prompts: Annotated[str, typer.Option(help="A prompt set.")] = "paper",
    hits: Annotated[int, typer.Option(min=1, help="How often the cached bank is read.")] = 50,
    json: JsonFlag = False,
) -> None:
    """Measure seconds to build a text bank, and to read it from the cache."""
    from ke2nt.prompts.prompt_set import PromptSet
    from ke2nt.vlm.catalog import get_text_encoder

    # names are checked before torch is imported
    PromptSet.load(prompts)
    get_text_encoder(encoder)

    from ke2nt.speed.cache import cache_speed

    report = cache_speed(prompts, encoder, hits=hits, quiet=json)
    if json:
        print_json(report)
        return
    print_line(
        f"built in {report['build_seconds']:.3f} s, from the cache in "
        f"{1000 * report['hit_seconds']:.2f} ms: {report['ratio']:.0f} times as fast"
    )


def _show(report: dict[str, Any], ratios: tuple[str, ...], json: bool) -> None:
    """Print rates, their ratios and the settings."""
    if json:
        print_json(report)
        return

    # the range over the rounds shows how steady the machine was
    rows = []
    for name, rate in report["detail"].items():
        low, high = min(rate["rounds"]), max(rate["rounds"])
        peak = "" if rate["peak_mib"] is None else f"{rate['peak_mib']:.0f}"
        rows.append([name, f"{rate['images_per_second']:.1f}", f"{low:.1f}-{high:.1f}", peak])
    print_table(["", "images/s #", "rounds #", "peak MiB #"], rows)

    for name in ratios:
        if name in report:
            print_line(f"{name.replace('_', ' ')}: {report[name]:.3f}")
    print_line(", ".join(f"{name} {value}" for name, value in report["settings"].items()))
