"""What attention heads cost: parameters, FLOPs, images/s in training and in prediction.

    python benchmarks/attention_cost.py [--backbones resnet18 …] [--size 48] [--out DIR]

Training is the whole of `ke2nt train` on noise, prediction the bare forward pass; models take
turns by rounds. FLOPs are those of one image's forward pass, as torch counts them.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch
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


def model_of(overrides: list[str]) -> ExpressionModel:
    """An untrained model of the configuration, with a text head."""
    model = load_config("ferplus_resnet18", overrides).model
    architecture: dict[str, Any] = {"backbone": model.backbone, "image_size": model.image_size}
    if model.attention is not None:
        architecture["attention"] = model.attention.architecture()
    return build_model(architecture, bank=TextBank.build("paper")).eval()


def flops(model: ExpressionModel) -> int:
    """Floating-point operations of one image."""
    size = model.preprocessing.image_size
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 3, size, size))
    return counter.get_total_flops()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", nargs="+", default=["resnet18", "mobilenetv3_small_100"])
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/attention_cost"))
    args = parser.parse_args()
    rows = []
    for backbone in args.backbones:
        shared = [f"model.backbone={backbone}", f"model.image_size={args.size}"]
        shared.append(f"optim.batch_size={args.batch}")
        speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
        for _ in range(args.rounds):
            for name, value in VARIANTS.items():
                changes = [*shared, f"model.attention={value}"]
                trained = training_speed(
                    load_config("ferplus_resnet18", changes),
                    steps=args.steps,
                    rounds=1,
                    reference=False,
                )
                bare = measure_inference(
                    model_of(changes), batch_size=args.batch, steps=args.steps, rounds=1
                )
                speeds[name].append((trained["loop"], bare["bare"]))
        for name, value in VARIANTS.items():
            model = model_of([*shared, f"model.attention={value}"])
            loop, forward = (
                statistics.median(column) for column in zip(*speeds[name], strict=True)
            )
            rows.append(
                {
                    "backbone": f"{backbone}, {args.size} px",
                    "heads": name,
                    "parameters": sum(p.numel() for p in model.parameters()),
                    "MFLOPs": round(flops(model) / 1e6, 1),
                    "training images/s": round(loop, 1),
                    "prediction images/s": round(forward, 1),
                }
            )
            write_table(args.out, rows)


def write_table(out: Path, rows: list[dict[str, Any]]) -> None:
    """`table.json` and `table.md`."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    lines += ["| " + " | ".join(map(str, row.values())) + " |" for row in rows]
    write_json(out / "table.json", rows)
    write_text(out / "table.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
