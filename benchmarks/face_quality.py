"""How many faces are withheld as dark, small or blurred, and how often the model is right on them.

    python benchmarks/face_quality.py --root DIR [--model ke2nt/ferplus-faces] [--limit N]

FER+ validation faces, rule `majority`, as they are and as darker, smaller and more blurred copies
(one seed). Every image is taken as one face. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from markdown_tables import format_table

from ke2nt.data.corruption_filters import FILTERS, to_bytes
from ke2nt.data.images import decode
from ke2nt.datasets.catalog import get_reader
from ke2nt.models.load import load_model
from ke2nt.predict.classify import FaceClassifier
from ke2nt.predict.found_faces import find_faces
from ke2nt.predict.pil_images import resize

REASONS = ("dark", "small", "blurred")


def degrade(kind: str, strength: float) -> Callable[[np.ndarray, int], np.ndarray]:
    """A corruption of a gray face (H, W, 3) by its number in the split."""

    def change(face: np.ndarray, number: int) -> np.ndarray:
        gray = face[:, :, :1] / np.float32(255)
        changed = to_bytes(FILTERS[kind](gray, strength, np.random.default_rng(number)))
        return changed.repeat(3, axis=2)

    return change


def shrink(side: int) -> Callable[[np.ndarray, int], np.ndarray]:
    """A smaller face."""
    return lambda face, _: resize(face, side, side)


CONDITIONS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "as they are (48 px)": lambda face, _: face,
    **{
        f"{100 * 2**-stops:.3g} % of the light": degrade("low_light", stops)
        for stops in (1, 2, 3, 4)
    },
    **{f"{side} px": shrink(side) for side in (32, 24, 19, 16, 12)},
    **{
        f"blurred, σ = {sigma * 48 / 64:.3g} px of 48": degrade("gaussian_blur", sigma)
        for sigma in (1.0, 1.5, 2.0, 2.5, 3.0)
    },
    "blurred by motion, σ = 3 px of 48": degrade("motion_blur", 4.0),
}


def measure(
    classifier: FaceClassifier, images: list[np.ndarray], labels: np.ndarray
) -> tuple[float, float, dict[str, float]]:
    """Share that is withheld, accuracy on all of them, and the share of each reason."""
    faces = [find_faces(image, None, classifier)[0] for image in images]
    problems = [face.quality.problems for face in faces]
    probabilities = classifier.classify([face.crop for face in faces]).probabilities
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    shares = {name: float(np.mean([name in found for found in problems])) for name in REASONS}
    return float(np.mean([bool(found) for found in problems])), accuracy, shares


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--model", default="ke2nt/ferplus-faces")
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()

    model = load_model(args.model)
    split = get_reader("ferplus", args.root, {"rule": "majority"}).load("val").spread(args.limit)
    labels = np.array([model.classes.index(split.classes[label]) for label in split.labels()])
    faces = [decode(sample.source) for sample in split.samples]
    classifier = FaceClassifier(model, device=torch.device("cpu"), batch_size=128)

    rows: list[list[Any]] = []
    for name, change in CONDITIONS.items():
        images = [change(face, number) for number, face in enumerate(faces)]
        withheld, accuracy, shares = measure(classifier, images, labels)
        values = (withheld, *shares.values(), accuracy)
        rows.append([name, *(f"{100 * value:.1f}" for value in values)])
    print(format_table(["faces", "withheld %", *(f"{r} %" for r in REASONS), "accuracy %"], rows))


if __name__ == "__main__":
    main()
