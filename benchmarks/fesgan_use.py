"""What synthetic faces are worth: FER+ with few labels, with and without joint learning.

    python benchmarks/fesgan_use.py --root DIR [--out DIR] [--seeds 1 2 3] [--only labels=5%]
    python benchmarks/fesgan_use.py --root DIR --only labels=5% variant="standard augmentation"

A share of the labels is a fixed, stratified part of the training usage for every seed (names in
each run's split.json); the rest is not used, not even by the generator. A generator is pretrained
once for each share and seed, and all rows start from it. The last epoch is reported, so
nothing is chosen on the split that is reported, FER+'s validation usage.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from training_rows import Row, make_parser, run_rows

from ke2nt.config.gan import FesganConfig
from ke2nt.config.load import load_config
from ke2nt.generation.train_generator import pretrain
from ke2nt.generation.train_jointly import train as train_jointly
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train

EPOCHS = {"1%": (80, 240), "5%": (40, 30), "10%": (30, 20), "100%": (6, 4)}  # recognizer, generator
PLAIN = "augment={flip: 0, crop: 0, erase: 0}"
BALANCED = "data.sampling=sqrt"
VARIANTS: dict[str, list[str]] = {
    "recognizer alone": [PLAIN],
    "standard augmentation": [],
    "standard augmentation, rare classes oftener": [BALANCED],
    "frozen generator": ["joint.frozen=true"],
    "joint, RDBP": [],
    "joint, without RDBP": ["joint.rdbp=false"],
    "joint, RDBP, sure ones": ["joint.min_confidence=0.5"],
    "joint, RDBP, natural balance": ["joint.balance=natural"],
    "joint, RDBP, edits alone": ["joint.source=edits"],
    "joint, RDBP, late and light": ["joint={share: 0.25, start: 0.4, ramp: 0.4, weight: 0.25}"],
    "joint, RDBP, neutral consistency": ["joint.consistency=0.1"],
}


def needs_generator(row: Row) -> bool:
    """Check whether a row is trained on synthetic faces."""
    return row.names["variant"].startswith(("frozen", "joint"))


def get_generator_run(out: Path, row: Row, seed: int) -> Path:
    """Return the run directory of the generator that a row starts from."""
    return out / f"synthesis-{row.names['labels']}-seed{seed}"


def rows(out: Path, seed: int) -> list[Row]:
    """Build the rows of the table for one seed."""
    table = []
    for labels, (epochs, generator_epochs) in EPOCHS.items():
        shared = [
            f"data.fraction={float(labels[:-1]) / 100}",
            f"optim.epochs={epochs}",
            f"gan.optim.epochs={generator_epochs}",
            "gan.min_images=1",
            "gan.guard.action=log",
            "gan.identity_space=code",
            "gan.sampling=natural",
            "select={rule: last, every: 1000}",
        ]

        # all variants of a share start from the same generator
        for variant, changes in VARIANTS.items():
            row = Row({"labels": labels, "variant": variant}, [*shared, *changes])
            if needs_generator(row):
                row.overrides.append(f"joint.generator={get_generator_run(out, row, seed)}")
            table.append(row)
    return table


def run_row(row: Row, folder: Path, seed: int, args: argparse.Namespace) -> None:
    """Train one row; pretrain its generator first if that has not been done."""
    shared = [f"data.root={args.root}", f"seed={seed}", *row.overrides, *args.overrides]
    config = load_config(args.config, [*shared, f"out={folder}"], FesganConfig)
    resume = RunDirectory(folder).exists
    if not needs_generator(row):
        train(config, resume=resume, quiet=args.quiet)
        return

    generator = RunDirectory(get_generator_run(args.out, row, seed))
    if not generator.finished:
        pretraining = load_config(args.config, [*shared, f"out={generator.path}"], FesganConfig)
        pretrain(pretraining, resume=generator.exists, quiet=args.quiet)
    train_jointly(config, resume=resume, quiet=args.quiet)


if __name__ == "__main__":
    parser = make_parser(__doc__, config="fesgan_ferplus", out="runs/fesgan_use")
    arguments = parser.parse_args()
    run_rows(lambda seed: rows(arguments.out, seed), arguments, run_row=run_row)
