"""Does the intensity readout follow the true intensity? Drawn faces, people never seen.

Trains a configuration on drawn faces (or takes a run that has), draws the people of the validation
and test splits at random intensities from 0 to 1, and prints Spearman's rank correlation between
readout and truth, one expression at a time. Readouts are compared on the validation people; the
test people say how good the chosen one is. Values of configs/quickstart.yaml can be changed:

    python benchmarks/intensity.py data.options.count=8000 optim.epochs=16 optim.lr=0.0015
    python benchmarks/intensity.py --run runs/quickstart
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.functional import normalize

from ke2nt.banks.text_bank import TextBank
from ke2nt.config.load import load_config
from ke2nt.drawn.dataset import DrawnFaces
from ke2nt.labels import NEUTRAL
from ke2nt.models.load import load_model
from ke2nt.models.output import KE2NTOutput
from ke2nt.predict.intensity import compute_intensity
from ke2nt.runtime.seeding import derive_seed
from ke2nt.training.train_recognizer import train

Readout = Callable[[KE2NTOutput, Tensor, TextBank], Tensor]


def directions(bank: TextBank) -> Tensor:
    return normalize(bank.raw - bank.neutral_raw)


READOUTS: Mapping[str, Readout] = {
    "as shipped": lambda out, photo, bank: compute_intensity(out.embeddings, None, bank),
    "from a neutral photo": lambda out, photo, bank: compute_intensity(out.embeddings, photo, bank),
    "from the imagined neutral": lambda out, photo, bank: compute_intensity(
        out.embeddings, out.neutral_embeddings, bank
    ),
    "directions from the imagined neutral": lambda out, photo, bank: (
        (normalize(out.embeddings) - normalize(out.neutral_embeddings)) @ directions(bank).T
    ),
    "probability": lambda out, photo, bank: out.logits.softmax(dim=-1),
}


class Faces:
    """People of one split at random intensities, and the same pictures with a neutral face."""

    def __init__(self, model: Any, faces: DrawnFaces, split: str, draws: int) -> None:
        chosen = [i for i in faces.indices(split) if faces.classes[faces.label_of(i)] != NEUTRAL]
        pictures, neutral, truth, labels = [], [], [], []
        for index in chosen:
            own = faces.render_sample(index, expression=NEUTRAL).image
            for draw in range(draws):
                seed = derive_seed(0, "intensity benchmark", index, draw)
                true = float(np.random.default_rng(seed).random())
                pictures.append(faces.render_sample(index, intensity=true).image)
                neutral.append(own)
                truth.append(true)
                labels.append(faces.classes[faces.label_of(index)])
        self.output = embed(model, pictures)
        self.photo = embed(model, neutral).embeddings
        self.truth, self.labels = np.array(truth), np.array(labels)

    def correlations(self, readout: Readout, bank: TextBank) -> dict[str, float]:
        """Spearman's rho of each expression."""
        values = readout(self.output, self.photo, bank).numpy()
        found = {}
        for column, name in enumerate(bank.classes):
            own = self.labels == name
            if own.any():
                found[name] = float(spearmanr(values[own, column], self.truth[own]).statistic)
        return found


@torch.inference_mode()
def embed(model: Any, pictures: list[np.ndarray], batch: int = 128) -> KE2NTOutput:
    parts = []
    for start in range(0, len(pictures), batch):
        pixels = torch.from_numpy(np.stack(pictures[start : start + batch])).permute(0, 3, 1, 2)
        parts.append(model(model.preprocessing.normalize(pixels)))
    return KE2NTOutput(*(torch.cat(column) for column in zip(*parts, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overrides", nargs="*", help="Values to change in quickstart.yaml.")
    parser.add_argument("--run", type=Path, help="A run on drawn faces, in place of training.")
    parser.add_argument("--draws", type=int, default=4, help="Intensities drawn for each picture.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = arguments.run or Path(folder) / "run"
        if arguments.run is None:
            config = load_config("quickstart", [*arguments.overrides, f"out={run}"])
            train(config, quiet=False)
        config = load_config(run / "config.yaml")  # the same people are held out
        model = load_model(run)
    assert model.bank is not None
    options = {k: v for k, v in config.data.options.items() if k in ("count", "seed", "size")}
    faces = DrawnFaces(**options)
    splits = {split: Faces(model, faces, split, arguments.draws) for split in ("val", "test")}
    for split, drawn in splits.items():
        for name, readout in READOUTS.items():
            found = drawn.correlations(readout, model.bank)
            row = {
                "split": split,
                "n": len(drawn.truth),
                "readout": name,
                "mean": round(float(np.mean(list(found.values()))), 3),
                "least": round(min(found.values()), 3),
                **{name: round(value, 3) for name, value in found.items()},
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
