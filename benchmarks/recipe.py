"""Which parts of the KE2NT objective help? Each on and off, both pairings, and a linear head.

    python benchmarks/recipe.py --root DIR [--budget small|full] [--out DIR] [--seeds 1 2 3]

L_s, L_t and L_c are the similarity, transformation and self-contrast losses; L_c averages over all
pairs of the batch (published) or over each face with its own text (paired). `small` trains on 5 %
of the labels at 48 px, the same ones for all rows of a seed. `full` takes all labels and the budget
of the configuration. The last epoch is reported, so nothing is chosen on the split that is
reported, FER+'s validation usage.
"""

from __future__ import annotations

from training_rows import Row, make_parser, run_rows

OFF_T, OFF_C, PAIRED = "loss.transformation=0", "loss.self_contrast=0", "loss.pairing=paired"
OBJECTIVES = {
    "L_s + L_t + L_c (published)": [],
    "L_s + L_t + L_c, paired": [PAIRED],
    "L_s + L_c": [OFF_T],
    "L_s + L_c, paired": [OFF_T, PAIRED],
    "L_s + L_t": [OFF_C],
    "L_s": [OFF_T, OFF_C],
    "L_t + L_c, paired": ["loss.similarity=0", PAIRED],
    "linear head, cross-entropy": ["model.head=linear"],
}
BUDGETS = {
    "small": ["data.fraction=0.05", "model.image_size=48", "optim.epochs=24", "optim.lr=0.002"],
    "full": [],
}
LAST = "select={rule: last, every: 1000}"


def rows(budget: str) -> list[Row]:
    """The table's rows."""
    return [
        Row({"labels": budget, "objective": name}, [LAST, *BUDGETS[budget], *changes])
        for name, changes in OBJECTIVES.items()
    ]


if __name__ == "__main__":
    parser = make_parser(__doc__, config="ferplus_resnet18", out="runs/recipe")
    parser.add_argument("--budget", choices=BUDGETS, default="small")
    args = parser.parse_args()
    run_rows(lambda seed: rows(args.budget), args)
