"""Calibration error at home and away: FER+ validation, nine corruptions, drawn faces.

    python benchmarks/calibration.py --root DIR [--model ke2nt/ferplus-faces] [--logits FILE]

Rule `majority`; nine kinds × five severities, one seed; drawn faces are 1,200 of seed 0.
Compares three temperatures: none (1), the one that fits the validation faces best, and the stored
one. FILE keeps the logits; a second call measures what it lacks. About 20 minutes of one CPU core.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean

import numpy as np
from markdown_tables import format_table

from ke2nt.data.corruption import KINDS, corrupt
from ke2nt.data.sample import FaceSplit
from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation.calibration_metrics import expected_calibration_error, reliability_bins
from ke2nt.evaluation.evaluate_model import decode_for_model
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.evaluation.robustness import LEVELS, decode_to_memory
from ke2nt.evaluation.temperature import fit_temperature, softmax
from ke2nt.models.base import ExpressionModel
from ke2nt.models.load import load_model


def measure_logits(model: ExpressionModel, split: FaceSplit) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, K) and labels (N,) of a split, in the order of the model's classes."""
    predictions = compute_predictions(model, decode_for_model(model, split))
    assert predictions.logits is not None
    order = np.array([model.classes.index(name) for name in split.classes])
    return predictions.logits[0], order[predictions.labels]


def measure_all(model: ExpressionModel, root: str, file: Path) -> dict[str, np.ndarray]:
    """The logits of every condition; those that the file lacks are measured and added to it."""
    arrays = dict(np.load(file)) if file.exists() else {}
    file.parent.mkdir(parents=True, exist_ok=True)
    conditions = [(f"{kind}_{severity}", kind, severity) for kind in KINDS for severity in LEVELS]

    if "clean" not in arrays or any(name not in arrays for name, *_ in conditions):
        images = decode_to_memory(get_reader("ferplus", root, {"rule": "majority"}).load("val"))
    if "clean" not in arrays:
        arrays["clean"], arrays["labels"] = measure_logits(model, images)
    if "drawn_test" not in arrays:
        drawn = get_reader("drawn", None, {"count": 8000, "seed": 0}).load("test")
        arrays["drawn_test"], arrays["drawn_test_labels"] = measure_logits(model, drawn)
    np.savez(file, **arrays)
    for name, kind, severity in conditions:
        if name not in arrays:
            arrays[name], _ = measure_logits(model, corrupt(images, kind, severity))
            np.savez(file, **arrays)
    return arrays


def compute_ece(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """Expected calibration error in percent."""
    bins = reliability_bins(softmax(logits / temperature), labels)
    return 100 * expected_calibration_error(bins)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--model", default="ke2nt/ferplus-faces")
    parser.add_argument("--logits", type=Path, default=Path("runs/calibration-logits.npz"))
    args = parser.parse_args()

    model = load_model(args.model)
    arrays = measure_all(model, args.root, args.logits)
    labels = arrays["labels"]

    def rows_of(temperature: float) -> list[float]:
        mean_of = [
            fmean(compute_ece(arrays[f"{kind}_{s}"], labels, temperature) for kind in KINDS)
            for s in LEVELS
        ]
        drawn = compute_ece(arrays["drawn_test"], arrays["drawn_test_labels"], temperature)
        return [compute_ece(arrays["clean"], labels, temperature), *mean_of, fmean(mean_of), drawn]

    # the temperature of each column, and one row for each kind of data
    stored = model.calibration.temperature if model.calibration else 1.0
    temperatures = {
        "none": 1.0,
        f"T = {fit_temperature(arrays['clean'], labels):.3f}, the faces alone": fit_temperature(
            arrays["clean"], labels
        ),
        f"T = {stored:.3f}, stored": stored,
    }
    columns = [rows_of(temperature) for temperature in temperatures.values()]
    names = ["FER+ validation", *(f"nine corruptions, severity {s}" for s in LEVELS)]
    names += ["nine corruptions, mean", "drawn faces"]
    table = [[name, *(f"{column[i]:.1f}" for column in columns)] for i, name in enumerate(names)]
    print(format_table(["ECE %", *temperatures], table))


if __name__ == "__main__":
    main()
