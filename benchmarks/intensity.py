"""Does the intensity readout follow the true intensity? Drawn faces of new people.

Trains a configuration on drawn faces (or loads such a run), draws the people of the validation and
test splits at random intensities from 0 to 1, and prints Spearman's rank correlation between
readout and truth for each expression. Readouts are compared on the validation people; the test
people show how good the chosen one is. Values of configs/quickstart.yaml can be changed:

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

from ke2nt.banks.text_bank import TextBank
from ke2nt.config.load import load_config
from ke2nt.drawn.dataset import DrawnFaces
from ke2nt.labels import NEUTRAL
from ke2nt.models.load import load_model
from ke2nt.models.output import KE2NTOutput
from ke2nt.predict.intensity import compute_intensity
from ke2nt.runtime.l2_normalize import l2_normalize
from ke2nt.runtime.seeding import derive_seed
from ke2nt.training.train_recognizer import train

Readout = Callable[[KE2NTOutput, Tensor, TextBank], Tensor]


def get_directions(bank: TextBank) -> Tensor:
    """Unit vectors from the neutral anchor to each class, (K, D)."""
    return l2_normalize(bank.raw - bank.neutral_raw)


READOUTS: Mapping[str, Readout] = {
    "as shipped": lambda out, photo, bank: compute_intensity(out.embeddings, None, bank),
    "from a neutral photo": lambda out, photo, bank: compute_intensity(out.embeddings, photo, bank),
    "from the imagined neutral": lambda out, photo, bank: compute_intensity(
        out.embeddings, out.neutral_embeddings, bank
    ),
    "directions from the imagined neutral": lambda out, photo, bank: (
        (l2_normalize(out.embeddings) - l2_normalize(get_neutral(out))) @ get_directions(bank).T
    ),
    "probability": lambda out, photo, bank: out.logits.softmax(dim=-1),
}


class Faces:
    """People of one split at random intensities, and the same people with a neutral face."""

    def __init__(self, model: Any, faces: DrawnFaces, split: str, draws: int) -> None:
        images, neutral_images, truth, labels = [], [], [], []
        for index in faces.indices(split):
            label = faces.classes[faces.label_of(index)]
            if label == NEUTRAL:
                continue

            neutral_image = faces.render_sample(index, expression=NEUTRAL).image
            for draw in range(draws):
                # the random number of a face does not depend on the other faces
                seed = derive_seed(0, "intensity benchmark", index, draw)
                intensity = float(np.random.default_rng(seed).random())
                images.append(faces.render_sample(index, intensity=intensity).image)
                neutral_images.append(neutral_image)
                truth.append(intensity)
                labels.append(label)

        self.output = embed(model, images)
        self.photo = embed(model, neutral_images).embeddings
        self.truth, self.labels = np.array(truth), np.array(labels)

    def correlate(self, readout: Readout, bank: TextBank) -> dict[str, float]:
        """Compute Spearman's rho of each expression."""
        values = readout(self.output, self.photo, bank).numpy()
        correlations = {}
        for column, name in enumerate(bank.classes):
            is_label = self.labels == name
            if is_label.any():
                result = spearmanr(values[is_label, column], self.truth[is_label])
                correlations[name] = float(result.statistic)
        return correlations


def get_neutral(output: KE2NTOutput) -> Tensor:
    assert output.neutral_embeddings is not None
    return output.neutral_embeddings


@torch.inference_mode()
def embed(model: Any, images: list[np.ndarray], batch: int = 128) -> KE2NTOutput:
    """Run a model on uint8 (S, S, 3) images."""
    outputs = []
    for start in range(0, len(images), batch):
        pixels = torch.from_numpy(np.stack(images[start : start + batch])).permute(0, 3, 1, 2)
        outputs.append(model(model.preprocessing(pixels)))

    # logits, embeddings and neutral embeddings
    logits, embeddings, neutral = (torch.cat(parts) for parts in zip(*outputs, strict=True))
    return KE2NTOutput(logits, embeddings, neutral)


def load_trained(args: argparse.Namespace) -> tuple[Any, DrawnFaces]:
    """Load a trained model and the drawn faces of its run, with the same people held out."""
    with tempfile.TemporaryDirectory() as folder:
        run = args.run or Path(folder) / "run"
        if args.run is None:
            config = load_config("quickstart", [*args.overrides, f"out={run}"])
            train(config, quiet=False)

        config = load_config(run / "config.yaml")
        model = load_model(run)

    options = {k: v for k, v in config.data.options.items() if k in ("count", "seed", "size")}
    return model, DrawnFaces(**options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overrides", nargs="*", help="Values to change in quickstart.yaml.")
    parser.add_argument("--run", type=Path, help="A run on drawn faces; without it one is trained.")
    parser.add_argument("--draws", type=int, default=4, help="Intensities drawn for each person.")
    args = parser.parse_args()
    model, faces = load_trained(args)
    assert model.bank is not None

    # the readout is chosen on "val", "test" shows how good it is
    for split in ("val", "test"):
        drawn = Faces(model, faces, split, args.draws)
        for name, readout in READOUTS.items():
            correlations = drawn.correlate(readout, model.bank)
            row = {
                "split": split,
                "n": len(drawn.truth),
                "readout": name,
                "mean": round(float(np.mean(list(correlations.values()))), 3),
                "least": round(min(correlations.values()), 3),
                **{name: round(value, 3) for name, value in correlations.items()},
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
