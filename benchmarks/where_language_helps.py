"""Where does language help? Label fractions × initial weights × text banks, and a linear head.

    python benchmarks/where_language_helps.py --root DIR [--out DIR] [--seeds 1 2 3]
    python benchmarks/where_language_helps.py --root DIR --only labels=1% labels=5% weights=none

Two banks carry no knowledge: random unit vectors, and the bank of `paper` with each class's vector
given to another class (both drawn anew for every seed). Rows named `paper, …` keep the published
words and change how they teach; a gain that the same rows of the two controls do not have comes
from the words. Rows of one seed share their images. The last epoch is reported, so nothing is
chosen on the split that is reported, FER+'s validation usage.

Minutes of one CPU core for each run of weights=none: 1 % 2, 5 % 4, 25 % 8, 100 % 12.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from training_rows import Row, make_parser, run_rows

from ke2nt.banks.text_bank import TextBank
from ke2nt.runtime.seeding import torch_generator

EPOCHS = {"1%": 80, "5%": 40, "25%": 16, "100%": 6}
# a network that knows faces needs fewer
FACE_EPOCHS = {"1%": 30, "5%": 12, "25%": 8, "100%": 6}
WEIGHTS = {
    "none": ["model.backbone=resnet18", "model.image_size=48", "optim.lr=0.002"],
    "ImageNet": [
        "model.backbone=tf_efficientnet_lite0",
        "model.weights=imagenet",
        "model.image_size=64",
        "optim.lr=0.001",
        "precision=fp32",  # on CPUs, depthwise convolutions are slower in bfloat16
    ],
    "faces": [
        "model.backbone=dlib_resnet",
        "model.weights=faces",
        "model.image_size=103",
        "optim.lr=0.001",
        "optim.layer_decay=0.9",
        "optim.ema=0.998",
    ],
}
PROMPTS = ("paper", "simple", "synonyms", "adjectives", "ensemble", "facs")
CONTROLS = ("random", "shuffled")
WAYS = {
    "centered": ["text.geometry=centered"],
    "whitened": ["text.geometry=whitened"],
    "text smoothing 0.1": ["loss.text_smoothing=0.1"],
    "scale climbs from 5": ["text.logit_scale_start=5"],
    "scale learned": ["text.learn_logit_scale=true"],
    "neck": ["model.projection=neck"],
}


def build_control_bank(name: str, seed: int) -> TextBank:
    """Build a bank without knowledge: same width, classes and scale as that of `paper`."""
    bank = TextBank.build("paper")
    generator = torch_generator(seed, "control", name)
    if name == "random":
        rows = torch.randn(bank.raw.shape, generator=generator)
        rows /= rows.norm(dim=1, keepdim=True)
    else:
        # a cyclic shift of a random order gives no class its own vector
        order = torch.randperm(bank.num_classes, generator=generator)
        rows = bank.raw.clone()
        rows[order] = bank.raw[order.roll(1)]

    return TextBank.from_tensors(
        rows, classes=bank.classes, neutral_index=bank.neutral_index, logit_scale=bank.logit_scale
    )


def list_banks(out: Path, seed: int) -> dict[str, list[str]]:
    """Name of a bank, or of a way in which it teaches → overrides."""
    banks = {"linear head": ["model.head=linear"]}
    banks |= {name: [f"text.prompts={name}"] for name in PROMPTS}
    banks |= {name: [f"text.bank={out / 'banks' / f'{name}-seed{seed}'}"] for name in CONTROLS}

    for bank in ("paper", *CONTROLS):
        for way, changes in WAYS.items():
            banks[f"{bank}, {way}"] = banks[bank] + changes
    return banks


def rows(out: Path, seed: int) -> list[Row]:
    """Build the rows of the table for one seed."""
    table = []
    for labels, epochs in EPOCHS.items():
        for weights, weight_changes in WEIGHTS.items():
            shared = [
                f"data.fraction={float(labels[:-1]) / 100}",
                f"optim.epochs={FACE_EPOCHS[labels] if weights == 'faces' else epochs}",
                "select={rule: last, every: 1000}",
            ]
            for bank, changes in list_banks(out, seed).items():
                names = {"labels": labels, "weights": weights, "bank": bank}
                table.append(Row(names, [*shared, *weight_changes, *changes]))
    return table


def main(args: argparse.Namespace) -> None:
    for seed in args.seeds:
        for name in CONTROLS:
            build_control_bank(name, seed).save(args.out / "banks" / f"{name}-seed{seed}")
    run_rows(lambda seed: rows(args.out, seed), args)


if __name__ == "__main__":
    main(make_parser(__doc__, config="ferplus_resnet18", out="runs/language").parse_args())
