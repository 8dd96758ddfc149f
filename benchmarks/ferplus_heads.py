"""KE2NT against a plain linear head: same backbone, data, budget and seeds; a row at a time.

    python benchmarks/ferplus_heads.py [key=value …] --root DIR [--out DIR] [--seeds 1 2]
    torchrun --nproc-per-node 2 benchmarks/ferplus_heads.py …

Figures are of the epoch that was chosen on the validation split, on that split.
"""

from __future__ import annotations

from training_rows import Row, make_parser, run_rows

VARIANTS = {
    "KE2NT, published losses": ["model.head=text"],
    "KE2NT, similarity loss alone": ["loss.transformation=0", "loss.self_contrast=0"],
    "linear head, cross-entropy": ["model.head=linear"],
}

if __name__ == "__main__":
    run_rows(
        lambda seed: [Row({"variant": name}, changes) for name, changes in VARIANTS.items()],
        make_parser(__doc__, config="ferplus_resnet18", out="runs/heads").parse_args(),
    )
