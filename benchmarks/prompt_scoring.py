"""How many prompt sets a second can be scored on embedded images, against scoring each in full.

    python benchmarks/prompt_scoring.py [--images 3199] [--width 512] [--classes 8] [--prompts 24]

A set is an ensemble of prompts for every class. "in full" makes the ensembles' embeddings and all
cosines anew for each set, as a loop over zero-shot classifiers does. Embeddings are random; the
time does not depend on them. Both run on one thread. Processor time leaves out what other programs
on the machine take. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ke2nt.promptlab.scorer import PromptScorer
from ke2nt.runtime.provenance import machine, package_versions


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def in_full(
    images: np.ndarray, labels: np.ndarray, prompts: np.ndarray, owners: np.ndarray, masks: Any
) -> np.ndarray:
    """Accuracy of each mask, from its class embeddings and cosines."""
    count = int(owners.max()) + 1
    found = []
    for mask in masks:
        centers = [prompts[mask & (owners == k)].mean(axis=0) for k in range(count)]
        found.append(((images @ unit(np.stack(centers)).T).argmax(axis=1) == labels).mean())
    return np.array(found)


def rates(score: Callable[[np.ndarray], Any], masks: np.ndarray, repeats: int) -> dict[str, int]:
    """Masks a second, by the clock and by processor time: medians, after one call to warm up."""
    score(masks[:10])
    clocks = {"clock": time.perf_counter, "processor": time.process_time}
    times: dict[str, list[float]] = {name: [] for name in clocks}
    for _ in range(repeats):
        before = {name: clock() for name, clock in clocks.items()}
        score(masks)
        for name, clock in clocks.items():
            times[name].append(clock() - before[name])
    return {name: round(len(masks) / float(np.median(spent))) for name, spent in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("images", 3199), ("width", 512), ("classes", 8), ("prompts", 24)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--sets", type=int, default=4000, help="prompt sets to score")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    images = unit(rng.normal(size=(args.images, args.width))).astype(np.float32)
    labels = rng.integers(0, args.classes, args.images)
    owners = np.repeat(np.arange(args.classes), args.prompts)
    prompts = unit(rng.normal(size=(len(owners), args.width))).astype(np.float32)
    masks = rng.random((args.sets, len(owners))) < 0.5
    masks[:, :: args.prompts] = True
    one_class = masks.copy()
    one_class[:, owners > 0] = masks[0, owners > 0]

    start = time.perf_counter()
    scorer = PromptScorer(images, labels, prompts, owners, args.classes)
    set_up = time.perf_counter() - start
    few = masks[: max(args.sets // 20, 10)]
    agree = scorer.score(few).accuracy == in_full(images, labels, prompts, owners, few)
    with threadpool_limits(limits=1, user_api="blas"):
        full = rates(lambda m: in_full(images, labels, prompts, owners, m), few, args.repeats)
    fast = rates(scorer.score, masks, args.repeats)
    print(
        json.dumps(
            {
                "images": args.images,
                "width": args.width,
                "classes": args.classes,
                "prompts of a class": args.prompts,
                "set-up, seconds": round(set_up, 3),
                "sets a second": fast,
                "sets a second, one class varied": rates(scorer.score, one_class, args.repeats),
                "sets a second, in full": full,
                "times faster (processor)": round(fast["processor"] / full["processor"], 1),
                "same accuracy": f"{int(agree.sum())} of {len(few)}",
                "machine": machine(),
                "versions": package_versions(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
