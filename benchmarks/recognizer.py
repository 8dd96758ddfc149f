"""A recognizer on FER+'s validation usage: each prior, with and without faces that it trained on.

    python benchmarks/recognizer.py --root DIR [--model ke2nt/ferplus] [--out DIR]

Rule `majority`. FER+'s official splits share some pixel-identical faces: the rows "new faces" leave
out those that stand in the training usage, too. Priors are those of `ke2nt evaluate --prior`;
"trained" are the class shares that the logits carry. About two minutes of one CPU core.
"""

from __future__ import annotations

import argparse
import hashlib
from itertools import product
from pathlib import Path

import numpy as np
from markdown_tables import format_table

from ke2nt.data.images import decode
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.models.load import load_model
from ke2nt.runtime.atomic import write_json, write_text

PRIORS = ("trained", "natural", "even")
METRICS = ("accuracy", "uar", "macro_f1", "ece")


def digest(sample: FaceSample) -> str:
    """Digest of an image's pixels."""
    return hashlib.sha256(np.ascontiguousarray(decode(sample.source)).tobytes()).hexdigest()


def load_splits(root: str) -> dict[str, FaceSplit]:
    """The validation usage, and its faces that no training usage of FER+ has."""
    faces = get_reader("ferplus", root, {"rule": "majority"}).load("val")
    # whatever their votes are
    training = get_reader("ferplus", root, {"rule": "plurality8"}).load("train")
    seen = {digest(sample) for sample in training.samples}
    new = faces.subset(i for i, face in enumerate(faces.samples) if digest(face) not in seen)
    return {"all faces": faces, "new faces": new}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="folder of FER+")
    parser.add_argument("--model", default="ke2nt/ferplus")
    parser.add_argument("--out", type=Path, default=Path("runs/recognizer"))
    args = parser.parse_args()

    model = load_model(args.model)
    rows, cells = [], []
    splits = load_splits(args.root)
    for (name, split), prior, mirror in product(splits.items(), PRIORS, (False, True)):
        chosen = None if prior == "trained" else prior
        report = evaluate_model(model, split, prior=chosen, flip_tta=mirror, quiet=True).report
        row = {"faces": name, "prior": prior, "mirrored": mirror, **report.to_dict()}
        rows.append(row)

        metrics = [f"{100 * getattr(report, metric):.1f}" for metric in METRICS]
        recalls = [f"{100 * entry.recall:.0f}" for entry in report.per_class]
        cells.append([name, str(report.n), prior, "yes" if mirror else "no", *metrics, *recalls])
        columns = ["faces", "n", "prior", "mirror image", "WAR %", "UAR %", "macro-F1 %", "ECE %"]
        write_text(args.out / "table.md", format_table([*columns, *model.classes], cells))
        write_json(args.out / "table.json", rows)
    print((args.out / "table.md").read_text())


if __name__ == "__main__":
    main()
