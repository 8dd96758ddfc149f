"""Prompt sets scored per second on embedded images, compared with scoring each in full.

    python benchmarks/prompt_scoring.py [--images 3199] [--width 512] [--classes 8] [--prompts 24]

A set is an ensemble of prompts for every class. "in full" recomputes the embeddings of the
ensembles and all cosines for each set, as a loop over zero-shot classifiers does. Embeddings are
random; the time does not depend on them. Both run on one thread. Processor time excludes other
programs on the machine. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ke2nt.promptlab.scorer import PromptScorer
from ke2nt.runtime.provenance import machine, package_versions


@dataclass(frozen=True)
class Problem:
    """Random embeddings and prompt sets.

    Attributes:
        images: (N, D) float32, unit norm.
        labels: (N,) class indices.
        prompts: (P, D) float32, unit norm.
        owners: (P,) class of each prompt.
    """

    images: np.ndarray
    labels: np.ndarray
    prompts: np.ndarray
    owners: np.ndarray


def normalize(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def draw_problem(args: argparse.Namespace) -> tuple[Problem, np.ndarray]:
    """Draw a problem, and (sets, P) masks of prompt sets, at least one prompt for each class."""
    rng = np.random.default_rng(0)
    images = normalize(rng.normal(size=(args.images, args.width))).astype(np.float32)
    labels = rng.integers(0, args.classes, args.images)
    owners = np.repeat(np.arange(args.classes), args.prompts)
    prompts = normalize(rng.normal(size=(len(owners), args.width))).astype(np.float32)

    masks = rng.random((args.sets, len(owners))) < 0.5
    masks[:, :: args.prompts] = True
    return Problem(images, labels, prompts, owners), masks


def score_in_full(problem: Problem, masks: np.ndarray) -> np.ndarray:
    """Compute the accuracy of each mask from its class embeddings and cosines."""
    accuracies = []
    for mask in masks:
        # (K, D) mean of the chosen prompts of each class
        means = [
            problem.prompts[mask & (problem.owners == k)].mean(axis=0)
            for k in range(int(problem.owners.max()) + 1)
        ]
        predicted = (problem.images @ normalize(np.stack(means)).T).argmax(axis=1)
        accuracies.append((predicted == problem.labels).mean())
    return np.array(accuracies)


def measure_rates(
    score: Callable[[np.ndarray], Any], masks: np.ndarray, repeats: int
) -> dict[str, int]:
    """Measure masks per second, by the clock and by processor time: medians, after a warm-up."""
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("images", 3199), ("width", 512), ("classes", 8), ("prompts", 24)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--sets", type=int, default=4000, help="prompt sets to score")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    problem, masks = draw_problem(args)

    # sets that differ in the prompts of one class only
    one_class = masks.copy()
    one_class[:, problem.owners > 0] = masks[0, problem.owners > 0]

    start = time.perf_counter()
    scorer = PromptScorer(
        problem.images, problem.labels, problem.prompts, problem.owners, args.classes
    )
    setup_seconds = time.perf_counter() - start

    # the slow way on fewer sets, which must agree
    few = masks[: max(args.sets // 20, 10)]
    agree = scorer.score(few).accuracy == score_in_full(problem, few)
    with threadpool_limits(limits=1, user_api="blas"):
        full = measure_rates(lambda m: score_in_full(problem, m), few, args.repeats)
    fast = measure_rates(scorer.score, masks, args.repeats)

    report = {
        "images": args.images,
        "width": args.width,
        "classes": args.classes,
        "prompts of a class": args.prompts,
        "set-up, seconds": round(setup_seconds, 3),
        "sets a second": fast,
        "sets a second, one class varied": measure_rates(scorer.score, one_class, args.repeats),
        "sets a second, in full": full,
        "times faster (processor)": round(fast["processor"] / full["processor"], 1),
        "same accuracy": f"{int(agree.sum())} of {len(few)}",
        "machine": machine(),
        "versions": package_versions(),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
