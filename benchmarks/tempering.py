"""Can the confidence of unfamiliar faces be tempered without labels of such faces?

    python benchmarks/tempering.py --root DIR [--model FOLDER] [--faces 1600]

The logits of an image are divided by T exp(max(0, w · s − c)), where s are standardized scores of
its familiarity: the distance, or also the face score. T, w and c minimize the log-loss of FER+
validation faces, of degraded copies of them at five severities, and, in half of the rows, also of
copies that are upside down. ECE (%) is that of the other half of the validation faces, of their
copies, and of drawn faces, none of which the fit sees. One seed.
"""

from __future__ import annotations

import argparse
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from familiarity import embed
from markdown_tables import format_table
from scipy.optimize import minimize
from scipy.special import logsumexp

from ke2nt.data.corruption import MIXED, corrupt
from ke2nt.data.images import decode
from ke2nt.data.sample import FaceSplit
from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation.calibration_metrics import expected_calibration_error, reliability_bins
from ke2nt.evaluation.robustness import LEVELS
from ke2nt.evaluation.temperature import softmax
from ke2nt.models.load import load_model
from ke2nt.predict.classify import FaceClassifier

SCORES = {"nothing": (), "distance": (1,), "distance and face score": (0, 1)}


class Part(NamedTuple):
    """Logits (N, K), labels (N,), and face scores and distances (N, 2)."""

    logits: np.ndarray
    labels: np.ndarray
    familiarity: np.ndarray


def temper(parameters: np.ndarray, part: Part, columns: tuple[int, ...]) -> np.ndarray:
    """Logits (N, K) divided by the temperature of each image; log T, c and w are parameters."""
    excess = part.familiarity[:, columns] @ parameters[2:] - parameters[1]
    return part.logits / np.exp(parameters[0] + np.clip(excess, 0, 4) * bool(columns))[:, None]


def fit(parts: list[tuple[Part, float]], columns: tuple[int, ...], offsets: np.ndarray):
    """Minimize the weighted log-loss from two starts."""

    def loss(parameters: np.ndarray) -> float:
        total = 0.0
        for part, weight in parts:
            logits = temper(parameters, part, columns) + offsets
            true = logits[np.arange(len(logits)), part.labels]
            total += weight * (logsumexp(logits, axis=1) - true).mean()
        return total + 1e-3 * float((parameters[1:] ** 2).sum())

    starts = [np.array([-0.5, value, *(0.3 * value for _ in columns)]) for value in (0.3, 1.0)]
    options = {"maxiter": 400}
    found = [minimize(loss, start, method="Nelder-Mead", options=options) for start in starts]
    return min(found, key=lambda result: result.fun).x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="folder of FER+")
    parser.add_argument("--model", default="ke2nt/ferplus-faces")
    parser.add_argument("--faces", type=int, default=1600)
    args = parser.parse_args()

    model = load_model(args.model)
    classifier = FaceClassifier(model, device=torch.device("cpu"), batch_size=128)
    assert model.calibration is not None
    offsets = np.array(model.calibration.offsets or [0.0] * len(model.classes))

    def measure(split: FaceSplit, *, upside_down: bool = False) -> Part:
        images = [decode(sample.source) for sample in split.samples]
        images = [image[::-1].copy() for image in images] if upside_down else images
        found = embed(classifier, images)
        labels = np.array([model.classes.index(name) for name in split.classes])[split.labels()]
        return Part(found.logits, labels, found.familiarity)

    faces = get_reader("ferplus", args.root, {"rule": "majority"}).load("val").spread(args.faces)
    halves = [faces.subset(range(half, len(faces), 2)) for half in (0, 1)]
    seen, judged = (
        {
            "validation faces": measure(half),
            **{f"severity {level}": measure(corrupt(half, MIXED, level)) for level in LEVELS},
            "upside down": measure(half, upside_down=True),
        }
        for half in halves
    )
    drawn = get_reader("drawn", None, {"count": 8000, "seed": 0}).load("test")
    judged["drawn faces"] = measure(drawn)

    # scores in units of the validation faces
    home = seen["validation faces"].familiarity
    center, spread = home.mean(axis=0), home.std(axis=0)
    for parts in (seen, judged):
        for name, part in parts.items():
            parts[name] = part._replace(familiarity=(part.familiarity - center) / spread)

    shown = ["validation faces", "severity 3", "severity 5", "upside down", "drawn faces"]
    rows = []
    for (score, columns), turned in product(SCORES.items(), (False, True)):
        # images and degraded copies weigh the same
        weights = {name: 1.0 for name in seen if name.startswith("severity")}
        weights["validation faces"] = float(len(weights))
        weights |= {"upside down": 2.0} if turned else {}
        parameters = fit([(seen[name], w) for name, w in weights.items()], columns, offsets)
        cells = []
        for name in shown:
            part = judged[name]
            bins = reliability_bins(
                softmax(temper(parameters, part, columns) + offsets), part.labels
            )
            cells.append(f"{100 * expected_calibration_error(bins):.1f}")
        rows.append([score, "yes" if turned else "no", *cells])
    print(format_table(["temperature by", "fitted upside down, too", *shown], rows))


if __name__ == "__main__":
    main()
