"""Attention heads on FER+: plain, deep supervision, attention, both, with linear and text heads.

    python benchmarks/attention_heads.py --root DIR [--out DIR] [--seeds 1 2] [key=value …]

Every row has the same backbone, images, epochs and seeds. The last epoch is reported, so nothing is
chosen on the split that is reported, FER+'s validation usage. A second table, `stages.md`, compares
the fused answer of each model that has stages with that of each stage alone.

About 4 minutes of one slow CPU core a run with data.fraction=0.05 model.image_size=40
optim.epochs=16.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training_rows import Row, make_parser, run_rows

from ke2nt.config.load import load_config
from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation.evaluate_model import decode_for_model
from ke2nt.models.load import load_model
from ke2nt.runtime.atomic import write_json, write_text
from ke2nt.training.run_directory import RunDirectory

LAST_EPOCH = "select={rule: last, every: 1000}"
VARIANTS = {
    "linear": ["model.head=linear"],
    "linear + deep supervision": ["model.head=linear", "model.attention={block: none}"],
    "linear + attention": ["model.head=linear", "model.attention={supervision: 0}"],
    "linear + deep supervision + attention": ["model.head=linear", "model.attention=true"],
    "text": ["model.head=text"],
    "text + deep supervision + attention": ["model.head=text", "model.attention=true"],
    "text + both, all losses at every stage": [
        "model.head=text",
        "model.attention={supervise: all}",
    ],
}


def rows(seed: int) -> list[Row]:
    """The table's rows."""
    return [Row({"heads": name}, [LAST_EPOCH, *changes]) for name, changes in VARIANTS.items()]


@torch.inference_mode()
def stage_accuracies(folder: Path) -> dict[str, float]:
    """Accuracy of the fused answer and of each stage's, on the run's own validation split."""
    config = RunDirectory(folder).load_config()
    data = config.data
    split = get_reader(data.name, data.root, data.options).load(data.val_split or "val")
    model = load_model(folder)
    images, right = decode_for_model(model, split), []
    for batch in images.batches(256):
        output = model(model.preprocessing.normalize(batch.pixels))
        if len(output.stages) < 2:
            return {}
        labels = torch.from_numpy(split.labels())[batch.indices]
        answers = [output.logits, *(stage.logits for stage in output.stages)]
        right.append(np.stack([(a.argmax(dim=1) == labels).numpy() for a in answers]))
    shares = np.concatenate(right, axis=1).mean(axis=1).tolist()
    weights = [round(float(w), 3) for w in model.fusion.weights]
    named = {f"stage {i}": share for i, share in enumerate(shares[1:], 1)}
    return {"fused": shares[0], **named, **{f"weight {i}": w for i, w in enumerate(weights, 1)}}


def stage_table(out: Path, seeds: list[int]) -> None:
    """Write `stages.json` and `stages.md` of the runs that are done."""
    found: list[dict[str, Any]] = []
    for row in rows(0):
        folders = [row.folder(out, seed) for seed in seeds]
        figures = [stage_accuracies(f) for f in folders if RunDirectory(f).finished]
        if figures := [f for f in figures if f]:
            mean = {key: statistics.mean(f[key] for f in figures) for key in figures[0]}
            found.append({**row.names, "seeds": len(figures), **mean})
    if not found:
        return
    columns = list(max(found, key=len))
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for row in found:
        cells = [
            f"{100 * row[c]:.2f}"
            if c == "fused" or c.startswith("stage ")
            else f"{row[c]:.3f}"
            if c.startswith("weight ")
            else str(row.get(c, ""))
            for c in columns
        ]
        lines.append("| " + " | ".join(cells) + " |")
    write_json(out / "stages.json", found)
    write_text(out / "stages.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    arguments = make_parser(__doc__, config="ferplus_resnet18", out="runs/attention").parse_args()
    load_config(arguments.config, arguments.overrides)  # a wrong key is said before anything runs
    run_rows(rows, arguments)
    stage_table(arguments.out, arguments.seeds)
