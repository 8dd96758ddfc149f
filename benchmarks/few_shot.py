"""Seconds for a whole few-shot table on embeddings: every method, three seeds.

    python benchmarks/few_shot.py [--images 3199] [--classes 8] [--shots 16] [--seeds 1 2 3]

`--images` are judged on; `--shots` images of each class are learned from. Embeddings are random
around a center of each class, with the width of ViT-B-16; times hardly depend on the values. coop
runs the text tower of ViT-B-16, with random weights. Processor time excludes other programs on the
machine. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from zero_shot_speed import create_random_model

from ke2nt.banks.text_bank import TextBank
from ke2nt.fewshot.features import Features
from ke2nt.fewshot.method import FewShotTask
from ke2nt.fewshot.methods import METHODS
from ke2nt.labels import CANONICAL
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.l2_normalize import l2_normalize
from ke2nt.runtime.provenance import machine, package_versions

WIDTH = 512  # of ViT-B-16


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3199)
    parser.add_argument("--classes", type=int, default=8, choices=range(2, len(CANONICAL) + 1))
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    values = parser.parse_args()

    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(values.classes, WIDTH, generator=generator)
    names = CANONICAL[: values.classes]
    bank = TextBank.from_tensors(centers, classes=names, neutral_index=0, logit_scale=100.0)
    prompts = PromptSet.load("simple").with_classes(list(names))

    def draw(count: int) -> Features:
        labels = torch.arange(count) % values.classes
        noise = torch.randn(count, WIDTH, generator=generator)
        return Features(l2_normalize(centers[labels] + 3 * noise), labels)

    # fitting, the choice of hyperparameters and the logits of all images
    evaluated, rows = draw(values.images), {}
    with tempfile.TemporaryDirectory() as folder:
        encoder = None
        if "coop" in values.methods:
            encoder = f"open_clip:{create_random_model('ViT-B-16', Path(folder) / 'ViT-B-16')}"
        for name in values.methods:
            wall, processor = time.perf_counter(), time.process_time()
            for seed in values.seeds:
                train, validation = draw(values.shots * values.classes), draw(4 * values.classes)
                task = FewShotTask(
                    *(train, validation, bank, 100.0, values.shots, seed),
                    text_encoder=encoder,
                    prompts=prompts,
                    cache_dir=folder,
                )
                METHODS[name](task).logits(evaluated.embeddings, 100.0)
            rows[name] = {
                "seconds": round(time.perf_counter() - wall, 2),
                "processor_seconds": round(time.process_time() - processor, 2),
            }
            print(name, rows[name], flush=True)

    keys = ("seconds", "processor_seconds")
    total = {key: round(sum(row[key] for row in rows.values()), 2) for key in keys}
    facts = {"settings": vars(values), "threads": torch.get_num_threads()}
    print(json.dumps({**facts, "methods": rows, "total": total, **machine(), **package_versions()}))


if __name__ == "__main__":
    main()
