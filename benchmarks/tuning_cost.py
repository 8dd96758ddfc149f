"""Time and memory of a training step: LoRA and other parts of an image tower beside all of it.

Towers of open_clip with random weights. Each case runs in a process of its own; reported is how far
its highest resident memory rises above that of the model alone. Seconds are those of the processor.

    python benchmarks/tuning_cost.py --tower ViT-B-32 --batch 16 --steps 3
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import torch

from ke2nt.config.tuning import LoraConfig
from ke2nt.models.linear import LinearClassifier
from ke2nt.models.tuning import count_parameters, tune_model
from ke2nt.training.speed.gradient_checkpointing import checkpoint_blocks

CASES = ("full", "full+checkpointing", "lora", "lora+checkpointing", "last:2", "head")


def main() -> None:
    """Print a table of all cases, or measure one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tower", default="ViT-B-32")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(
            json.dumps(measure(arguments.case, arguments.tower, arguments.batch, arguments.steps))
        )
        return

    print(f"{arguments.tower}, batch {arguments.batch}, {torch.get_num_threads()} thread(s), fp32")
    print("| case | parameters trained | processor seconds a step | MiB above the model |")
    print("|---|---:|---:|---:|")
    for case in arguments.cases.split(","):
        words = [sys.executable, __file__, "--case", case, "--tower", arguments.tower]
        words += ["--batch", str(arguments.batch), "--steps", str(arguments.steps)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        facts = json.loads(done.stdout.splitlines()[-1])
        share = 100 * facts["trained"] / facts["total"]
        trained = f"{facts['trained'] / 1e6:.2f} million ({share:.3g} %)"
        print(f"| {case} | {trained} | {facts['seconds']:.2f} | {facts['mib']:.0f} |", flush=True)


def measure(case: str, tower: str, batch: int, steps: int) -> dict[str, float]:
    """Time the steps of one case; the first one, which allocates memory, does not count."""
    import open_clip

    tune, _, checkpointing = case.partition("+")
    torch.manual_seed(0)
    visual = open_clip.create_model(tower, load_weights=False).visual
    model = LinearClassifier(tuple("abcdefgh"), backbone=visual, image_size=visual.image_size[0])
    tune_model(model, tune, LoraConfig())
    if checkpointing:
        checkpoint_blocks(model.backbone.net)
    counts = count_parameters(model, tune)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    images = torch.randn(batch, 3, *visual.image_size)
    labels = torch.arange(batch) % 8

    model.train()
    before, seconds = _peak_mib(), []
    for _ in range(steps + 1):
        started = time.process_time()
        loss = torch.nn.functional.cross_entropy(model(images).logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        seconds.append(time.process_time() - started)
    return {
        "trained": counts.trained,
        "total": counts.total,
        "seconds": statistics.median(seconds[1:]),
        "mib": _peak_mib() - before,
    }


def _peak_mib() -> float:
    """Highest resident memory of this process so far (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
