"""Are the heat maps right? Deletion and insertion against random maps, mass on mouth, brows, eyes.

    python benchmarks/explanations.py [--out DIR] [--count 100]
    python benchmarks/explanations.py --model ke2nt/ferplus-faces --root DIR [--out DIR]

The first command trains a model with attention heads on drawn faces (`OUT/run`, unless it exists; a
few minutes) and explains its predictions for new people, whose regions are known. The same network
with random weights is the control: a map that shows eyes and mouth there, too, depends on the image
and not on the model. The second command has no regions: only curves, on FER+'s validation usage.

The target is the predicted class. A small area under the deletion curve is good, a large one under
the insertion curve. Mass is the share of a map inside the regions over what their area would give
by chance.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markdown_tables import format_table

from ke2nt.config.load import load_config
from ke2nt.data.images import decode
from ke2nt.datasets.catalog import get_reader
from ke2nt.drawn.dataset import DrawnFaces
from ke2nt.drawn.render import REGIONS
from ke2nt.errors import ModelError
from ke2nt.explain.checks import compute_deletion_insertion, compute_region_share, draw_random_map
from ke2nt.explain.heat import forward_faces
from ke2nt.explain.methods import METHODS
from ke2nt.explain.target import Target
from ke2nt.models.base import ExpressionModel
from ke2nt.models.build import build_model
from ke2nt.models.load import load_model
from ke2nt.runtime.atomic import write_json, write_text
from ke2nt.runtime.seeding import seed_everything
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train

LOOKED_AT = ("brows", "eyes", "mouth")
Face = tuple[str, np.ndarray, np.ndarray | None]  # name, uint8 (S, S, 3), bool (4, S, S)


def draw_faces(model: ExpressionModel, count: int) -> Iterator[Face]:
    """Draw faces that are not neutral, of people in no training split."""
    size = model.preprocessing.image_size
    faces = DrawnFaces(2400, seed=7, size=size, min_intensity=0.7, occlusion=0.0)
    neutral = faces.classes.index("neutral")
    chosen = [i for i in faces.indices("test") if faces.label_of(i) != neutral][:count]
    for face in faces.render(chosen, masks=True):
        yield face.name, face.image, face.masks


def read_real_faces(model: ExpressionModel, root: Path, count: int) -> Iterator[Face]:
    """Read faces of FER+'s validation usage, evenly spaced."""
    split = get_reader("ferplus", root, rule="majority").load("val")
    for i in range(count):
        sample = split.samples[i * len(split) // count]
        size = model.preprocessing.image_size
        yield sample.name, decode(sample.source, size=size), None


def compute_maps(
    model: ExpressionModel, crop: np.ndarray, target: Target, name: str
) -> dict[str, np.ndarray]:
    """Compute the map of each method that the model supports, and a random map."""
    maps = {"random": draw_random_map(crop.shape[0], name)}
    for method, compute_map in METHODS.items():
        try:
            maps[method] = compute_map(model, crop, target)
        except ModelError:
            continue  # a model without attention
    return maps


def compute_shares(heat: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """Compute the share of a map in the regions, and in each region over what chance gives."""
    indices = [REGIONS.index(region) for region in LOOKED_AT]
    whole = masks[indices].any(axis=0)
    shares = {"share": compute_region_share(heat, whole), "chance": float(whole.mean())}

    for region, index in zip(LOOKED_AT, indices, strict=True):
        mask = masks[index]
        if mask.any():
            shares[region] = compute_region_share(heat, mask) / float(mask.mean())
    return shares


def score_methods(model: ExpressionModel, faces: list[Face], title: str) -> list[dict[str, Any]]:
    """Score every method on all faces: one row for each."""
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for name, crop, masks in faces:
        # the target is the predicted class
        index = int(forward_faces(model, crop[None]).logits[0].argmax())
        target = Target(model.classes[index], index=index)

        for method, heat in compute_maps(model, crop, target, name).items():
            curves = compute_deletion_insertion(model, crop, target, heat)
            scores[method]["deletion"].append(curves.deletion_area)
            scores[method]["insertion"].append(curves.insertion_area)
            if masks is not None:
                for key, value in compute_shares(heat, masks).items():
                    scores[method][key].append(value)

    rows = []
    for method, values in scores.items():
        means = {key: float(np.mean(value)) for key, value in values.items()}
        if "share" in means:
            means["over chance"] = means["share"] / means["chance"]
        rows.append({"network": title, "map": method, "faces": len(faces), **means})
    return rows


def write_table(out: Path, rows: list[dict[str, Any]]) -> None:
    """Write `table.json` and `table.md`, and print the latter."""
    columns = list(rows[0])
    table = format_table(columns, [[format_cell(row.get(c, "")) for c in columns] for row in rows])
    write_json(out / "table.json", rows)
    write_text(out / "table.md", table)
    print(table, end="")


def format_cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def train_on_drawn_faces(out: Path, overrides: list[str]) -> ExpressionModel:
    """Train the model of the first command, or load it if it is trained."""
    run = RunDirectory(out / "run")
    if not run.finished:
        shared = [
            f"out={run.path}",
            "model.attention={fusion: learned}",
            "select={rule: last, every: 1000}",
        ]
        config = load_config("quickstart", [*shared, *overrides])
        train(config, resume=run.exists)
    return load_model(run.path)


def build_control(model: ExpressionModel, faces: list[Face]) -> ExpressionModel:
    """Build the same network with random weights."""
    seed_everything(0)
    control = build_model(model.architecture, bank=model.bank, classes=model.classes)

    # batch statistics of the faces, which a trained network has, too
    crops = np.stack([crop for _, crop, _ in faces])
    with torch.no_grad():
        control.train()(control.preprocessing(torch.from_numpy(crops).permute(0, 3, 1, 2)))
    return control.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="any model; by default one is trained on drawn faces")
    parser.add_argument("--root", type=Path, help="folder of FER+, for --model")
    parser.add_argument("--out", type=Path, default=Path("runs/explanations"))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("overrides", nargs="*", help="key=value of the training")
    args = parser.parse_args()

    if args.model:
        model = load_model(args.model)
    else:
        model = train_on_drawn_faces(args.out, args.overrides)
    if args.root:
        faces = list(read_real_faces(model, args.root, args.count))
    else:
        faces = list(draw_faces(model, args.count))

    control = build_control(model, faces)
    rows = score_methods(model.eval(), faces, "trained")
    rows += score_methods(control, faces, "random weights")
    write_table(args.out, rows)


if __name__ == "__main__":
    main()
