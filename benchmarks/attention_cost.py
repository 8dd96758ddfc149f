"""What attention heads cost: parameters, FLOPs, images/s in training and in prediction.

    python benchmarks/attention_cost.py [--backbones resnet18 …] [--size 48] [--out DIR]

Training is the whole of `ke2nt train` on noise, prediction the bare forward pass; the models take
turns in each round. FLOPs are those of the forward pass of one image, as torch counts them.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch
from markdown_tables import format_table
from torch.utils.flop_counter import FlopCounterMode

from ke2nt.banks.text_bank import TextBank
from ke2nt.config.load import load_config
from ke2nt.models.base import ExpressionModel
from ke2nt.models.build import build_model
from ke2nt.runtime.atomic import write_json, write_text
from ke2nt.speed.inference import measure_inference
from ke2nt.speed.training import training_speed

VARIANTS = {
    "plain": "null",
    "+ heads on 3 stages": "{block: none}",
    "+ heads and attention": "true",
}

Speed = tuple[float, float]  # images/s in training and in prediction


def build_untrained(overrides: list[str]) -> ExpressionModel:
    """Build an untrained model of a configuration, with a text head."""
    model = load_config("ferplus_resnet18", overrides).model
    architecture: dict[str, Any] = {"backbone": model.backbone, "image_size": model.image_size}
    if model.attention is not None:
        architecture["attention"] = model.attention.architecture()
    return build_model(architecture, bank=TextBank.build("paper")).eval()


def count_flops(model: ExpressionModel) -> int:
    """Count the floating-point operations of one image."""
    size = model.preprocessing.image_size
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 3, size, size))
    return counter.get_total_flops()


def measure_speed(overrides: list[str], batch: int, steps: int) -> Speed:
    """Measure training and prediction once."""
    config = load_config("ferplus_resnet18", overrides)
    training = training_speed(config, steps=steps, rounds=1, reference=False)

    model = build_untrained(overrides)
    prediction = measure_inference(model, batch_size=batch, steps=steps, rounds=1)
    return training["loop"], prediction["bare"]


def measure_backbone(backbone: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure all variants of a backbone: one row for each."""
    shared = [
        f"model.backbone={backbone}",
        f"model.image_size={args.size}",
        f"optim.batch_size={args.batch}",
    ]
    overrides = {name: [*shared, f"model.attention={v}"] for name, v in VARIANTS.items()}

    # in turns, so that a slow phase of the machine hits all of them
    speeds: dict[str, list[Speed]] = {name: [] for name in VARIANTS}
    for _ in range(args.rounds):
        for name in VARIANTS:
            speeds[name].append(measure_speed(overrides[name], args.batch, args.steps))

    rows = []
    for name in VARIANTS:
        model = build_untrained(overrides[name])
        training, prediction = zip(*speeds[name], strict=True)
        row = {
            "backbone": f"{backbone}, {args.size} px",
            "heads": name,
            "parameters": sum(p.numel() for p in model.parameters()),
            "MFLOPs": round(count_flops(model) / 1e6, 1),
            "training images/s": round(statistics.median(training), 1),
            "prediction images/s": round(statistics.median(prediction), 1),
        }
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", default=["resnet18", "mobilenetv3_small_100"])
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/attention_cost"))
    args = parser.parse_args()

    # written after every backbone, as each takes a while
    rows: list[dict[str, Any]] = []
    for backbone in args.backbones:
        rows += measure_backbone(backbone, args)
        table = format_table(list(rows[0]), [list(map(str, row.values())) for row in rows])
        write_json(args.out / "table.json", rows)
        write_text(args.out / "table.md", table)


if __name__ == "__main__":
    main()
