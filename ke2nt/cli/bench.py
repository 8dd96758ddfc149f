"""`ke2nt bench`: how fast training, prediction and the text cache are on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ke2nt.cli.options import device_name
from ke2nt.cli.output import JsonFlag, print_json, print_line, print_table
from ke2nt.errors import ConfigError

__all__ = ["app"]

app = typer.Typer(help="How fast this machine is, measured in turns.", no_args_is_help=True)

_Batch = Annotated[int, typer.Option("--batch", min=1, help="Images a step.")]
_Steps = Annotated[int, typer.Option(min=1, help="Batches of one measurement.")]
_Rounds = Annotated[int, typer.Option(min=1, help="Measurements of each, in turns.")]
_Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


@app.command("train")
def train_command(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, as for `ke2nt train`")
    ] = None,
    backbone: Annotated[str, typer.Option(help="Any timm backbone.")] = "resnet18",
    size: Annotated[int, typer.Option(min=16, help="Side of the input, pixels.")] = 112,
    batch: Annotated[int, typer.Option("--batch", min=2, help="Images a step.")] = 64,
    steps: _Steps = 8,
    rounds: _Rounds = 3,
    device: _Device = "auto",
    reference: Annotated[
        bool, typer.Option(help="Measure a loop in the style of published code, too.")
    ] = True,
    json: JsonFlag = False,
) -> None:
    """Images/s of the bare backbone, the whole training loop, and a loop as published code has it.

    The optimizer, augmentation and losses are those of the published run unless changed.
    """
    from ke2nt.config.load import load_config
    from ke2nt.speed.training import training_speed

    config = load_config(
        "rafdb_resnet18",
        [
            f"model.backbone={backbone}",
            f"model.image_size={size}",
            f"optim.batch_size={batch}",
            f"device={device}",
            *(overrides or []),
        ],
    )
    report = training_speed(config, steps=steps, rounds=rounds, reference=reference)
    _print(report, ("loop_over_bare", "loop_over_reference"), json)


@app.command("infer")
def infer_command(
    model: Annotated[
        Path | None, typer.Argument(help="A run or model; default: untrained.")
    ] = None,
    backbone: Annotated[str, typer.Option(help="Backbone of the untrained model.")] = "resnet18",
    size: Annotated[
        int | None, typer.Option(min=16, help="Its input's side, pixels; default: 112.")
    ] = None,
    batch: _Batch = 128,
    steps: _Steps = 8,
    rounds: _Rounds = 3,
    device: _Device = "auto",
    json: JsonFlag = False,
) -> None:
    """Images/s of a model's bare forward pass, and of batch prediction."""
    from ke2nt.banks.text_bank import TextBank
    from ke2nt.models.ke2nt import KE2NT
    from ke2nt.models.load import load_model
    from ke2nt.speed.inference import measure_inference

    if model is None:
        recognizer: Any = KE2NT(TextBank.build("paper"), backbone, size or 112)
    else:
        if size is not None:
            raise ConfigError(
                "a trained model has its own size", found=f"--size {size}", hint="Leave it out."
            )
        recognizer = load_model(model)
    where = device_name(None if device == "auto" else device)
    report = measure_inference(
        recognizer, batch_size=batch, steps=steps, rounds=rounds, device=where
    )
    _print(report, ("predict_over_bare",), json)


@app.command("cache")
def cache_command(
    encoder: Annotated[str, typer.Option(help="A text encoder that is at hand.")] = "minilm",
    prompts: Annotated[str, typer.Option(help="A prompt set.")] = "paper",
    hits: Annotated[int, typer.Option(min=1, help="How often the cached bank is read.")] = 50,
    json: JsonFlag = False,
) -> None:
    """Seconds to build a text bank, and to take it from the cache."""
    from ke2nt.speed.cache import cache_speed

    report = cache_speed(prompts, encoder, hits=hits)
    if json:
        print_json(report)
        return
    print_line(
        f"built in {report['build_seconds']:.3f} s, from the cache in "
        f"{1000 * report['hit_seconds']:.2f} ms: {report['ratio']:.0f} times as fast"
    )


def _print(report: dict[str, Any], ratios: tuple[str, ...], json: bool) -> None:
    if json:
        print_json(report)
        return
    rows = []
    for name, rate in report["detail"].items():
        low, high = min(rate["rounds"]), max(rate["rounds"])
        peak = "" if rate["peak_mib"] is None else f"{rate['peak_mib']:.0f}"
        rows.append([name, f"{rate['images_per_second']:.1f}", f"{low:.1f}-{high:.1f}", peak])
    print_table(["", "images/s #", "rounds #", "peak MiB #"], rows)
    for name in ratios:
        if name in report:
            print_line(f"{name.replace('_', ' ')}: {report[name]:.3f}")
    facts = ", ".join(f"{key} {value}" for key, value in report["settings"].items())
    print_line(facts)
