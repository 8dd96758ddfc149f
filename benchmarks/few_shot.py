"""Seconds for a whole few-shot table on embeddings: every method but coop, three seeds.

    python benchmarks/few_shot.py [--images 3199] [--width 512] [--classes 8] [--shots 16]

`--images` are judged on; `--shots` images of each class are learned from. Embeddings are random
around a center of each class, with the width of ViT-B-16; times hardly depend on the values. coop
runs a text tower, see benchmarks/prompt_learning.py. Processor time excludes other programs on the
machine. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import time

import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.fewshot.features import Features
from ke2nt.fewshot.method import FewShotTask
from ke2nt.fewshot.methods import METHODS
from ke2nt.runtime.l2_normalize import l2_normalize
from ke2nt.runtime.provenance import machine, package_versions

SEEDS = (1, 2, 3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3199)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--classes", type=int, default=8)
    parser.add_argument("--shots", type=int, default=16)
    values = parser.parse_args()

    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(values.classes, values.width, generator=generator)
    names = ("neutral", *(f"class {k}" for k in range(1, values.classes)))
    bank = TextBank.from_tensors(centers, classes=names, neutral_index=0, logit_scale=100.0)

    def draw(count: int) -> Features:
        labels = torch.arange(count) % values.classes
        noise = torch.randn(count, values.width, generator=generator)
        return Features(l2_normalize(centers[labels] + 3 * noise), labels)

    # fitting, the choice of hyperparameters and the logits of all images
    evaluated, rows = draw(values.images), {}
    for name in (name for name in METHODS if name != "coop"):
        wall, processor = time.perf_counter(), time.process_time()
        for seed in SEEDS:
            train, validation = draw(values.shots * values.classes), draw(4 * values.classes)
            task = FewShotTask(train, validation, bank, 100.0, values.shots, seed)
            METHODS[name](task).logits(evaluated.embeddings, 100.0)
        rows[name] = {
            "seconds": round(time.perf_counter() - wall, 2),
            "processor_seconds": round(time.process_time() - processor, 2),
        }

    total = {key: round(sum(row[key] for row in rows.values()), 2) for key in rows["zero-shot"]}
    facts = {"settings": vars(values), "seeds": len(SEEDS), "threads": torch.get_num_threads()}
    print(json.dumps({**facts, "methods": rows, "total": total, **machine(), **package_versions()}))


if __name__ == "__main__":
    main()
