"""Attention heads on FER+: plain, deep supervision, attention, both, with linear and text heads.

    python benchmarks/attention_heads.py --root DIR [--out DIR] [--seeds 1 2] [key=value …]

Every row has the same backbone, images, epochs and seeds. The last epoch is reported, so nothing is
chosen on the split that is reported, FER+'s validation usage. A second table, `stages.md`, compares
the fused output of each model that has stages with that of each stage alone, and with other
averages of the same stages, which the model was not trained with.

About 4 minutes of one slow CPU core a run with data.fraction=0.05 model.image_size=40
optim.epochs=16.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markdown_tables import format_table
from training_rows import Row, make_parser, run_rows

from ke2nt.config.load import load_config
from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation.evaluate_model import decode_for_model
from ke2nt.models.load import load_model
from ke2nt.runtime.atomic import write_json, write_text
from ke2nt.training.run_directory import RunDirectory

LAST_EPOCH = "select={rule: last, every: 1000}"
LEARNED = "model.attention={fusion: learned}"
VARIANTS = {
    "linear": ["model.head=linear"],
    "linear + deep supervision": [
        "model.head=linear",
        "model.attention={block: none, fusion: learned}",
    ],
    "linear + attention": [
        "model.head=linear",
        "model.attention={supervision: 0, fusion: learned}",
    ],
    "linear + deep supervision + attention": ["model.head=linear", LEARNED],
    "text": ["model.head=text"],
    "text + deep supervision + attention": ["model.head=text", LEARNED],
    "text + both, all losses at every stage": [
        "model.head=text",
        "model.attention={supervise: all, fusion: learned}",
    ],
}

# what the fusion averages, with deep supervision and attention
AVERAGES = {
    f"{head}, average of {average}, {weights}": [
        f"model.head={head}",
        f"model.attention={{average: {average}, {options}}}",
    ]
    for head, kinds in {
        "linear": ("logits", "probabilities"),
        "text": ("directions", "logits", "probabilities"),
    }.items()
    for average in kinds
    for weights, options in {
        "learned weights": "fusion: learned",
        "weights 1 2 4": "fusion: fixed, fusion_weights: [1, 2, 4]",
    }.items()
}


def rows(seed: int) -> list[Row]:
    """The table's rows."""
    variants = VARIANTS | AVERAGES
    return [Row({"heads": name}, [LAST_EPOCH, *changes]) for name, changes in variants.items()]


@torch.inference_mode()
def compute_stage_accuracies(folder: Path) -> dict[str, float]:
    """Compute the accuracy of the fused output and of each stage, on the run's validation split."""
    data = RunDirectory(folder).load_config().data
    split = get_reader(data.name, data.root, data.options).load(data.val_split or "val")
    labels = torch.from_numpy(split.labels())
    model = load_model(folder)

    correct: list[dict[str, np.ndarray]] = []
    for batch in decode_for_model(model, split).batches(256):
        output = model(model.preprocessing(batch.pixels))
        if len(output.stages) < 2:
            return {}

        # (S, B, K) shallow to deep
        stages = torch.stack([stage.logits for stage in output.stages])
        scores = {"fused": output.logits}
        scores |= {f"stage {i}": logits for i, logits in enumerate(stages, 1)}
        scores |= average_stages(stages, model.fusion.weights)
        truth = labels[batch.indices]
        correct.append({k: (v.argmax(dim=1) == truth).numpy() for k, v in scores.items()})

    weights = [round(float(weight), 3) for weight in model.fusion.weights]
    return {
        **{k: float(np.concatenate([c[k] for c in correct]).mean()) for k in correct[0]},
        **{f"weight {i}": weight for i, weight in enumerate(weights, 1)},
    }


def average_stages(stages: torch.Tensor, weights: torch.Tensor) -> dict[str, torch.Tensor]:
    """Average the (S, B, K) logits of the stages, and their probabilities, in several ways.

    An average of directions is not among them: with the text head it ranks the classes as the
    average of logits does, which are cosines times one number.
    """
    deeper = 2.0 ** torch.arange(len(stages))
    ways = {"": weights, ", equal": torch.ones(len(stages)), ", 1 2 4": deeper}
    return {
        f"{kind}{name}": torch.einsum("s,sbk->bk", way / way.sum(), scores)
        for name, way in ways.items()
        for kind, scores in {"logits": stages, "probabilities": stages.softmax(dim=2)}.items()
    }


def write_stage_table(out: Path, seeds: list[int]) -> None:
    """Write `stages.json` and `stages.md` of the finished runs."""
    table: list[dict[str, Any]] = []
    for row in rows(0):
        folders = [row.folder(out, seed) for seed in seeds]
        finished = [folder for folder in folders if RunDirectory(folder).finished]

        # a run without stages has no accuracies
        runs = [metrics for metrics in map(compute_stage_accuracies, finished) if metrics]
        if runs:
            mean = {key: statistics.mean(run[key] for run in runs) for key in runs[0]}
            table.append({**row.names, "seeds": len(runs), **mean})
    if not table:
        return

    columns = list(max(table, key=len))
    cells = [[format_cell(column, line.get(column)) for column in columns] for line in table]
    write_json(out / "stages.json", table)
    write_text(out / "stages.md", format_table(columns, cells))


def format_cell(column: str, value: Any) -> str:
    """Accuracies in percent, weights as they are."""
    if value is None:
        return ""
    if column.startswith(("fused", "stage ", "logits", "probabilities")):
        return f"{100 * value:.2f}"
    if column.startswith("weight "):
        return f"{value:.3f}"
    return str(value)


if __name__ == "__main__":
    arguments = make_parser(__doc__, config="ferplus_resnet18", out="runs/attention").parse_args()
    load_config(arguments.config, arguments.overrides)  # reports a wrong key before anything runs
    run_rows(rows, arguments)
    write_stage_table(arguments.out, arguments.seeds)
