"""Are the heat maps right? Deletion and insertion against random maps, mass on mouth, brows, eyes.

    python benchmarks/explanations.py [--out DIR] [--count 100]
    python benchmarks/explanations.py --model ke2nt/ferplus-resnet18 --root DIR [--out DIR]

The first command trains a model with attention heads on drawn faces (`OUT/run`, if it is not there;
a few minutes) and asks it about faces of people it has not seen, whose regions are known. The same
network with random weights is the control: a map that looks at eyes and mouth there, too, shows the
picture and not the model. The second one has no regions: curves alone, on FER+'s validation usage.

The target is the model's own answer. Area under deletion: low is good; under insertion: high is
good. Mass is the share of a map inside the regions, over what their area would give by chance.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

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


def drawn_faces(model: ExpressionModel, count: int) -> Iterator[Face]:
    """Faces that are not neutral of people in no training split."""
    size = model.preprocessing.image_size
    faces = DrawnFaces(2400, seed=7, size=size, min_intensity=0.7, occlusion=0.0)
    neutral = faces.classes.index("neutral")
    chosen = [i for i in faces.indices("test") if faces.label_of(i) != neutral][:count]
    for face in faces.render(chosen, masks=True):
        yield face.name, face.image, face.masks


def real_faces(model: ExpressionModel, root: Path, count: int) -> Iterator[Face]:
    """Faces of FER+'s validation usage, spread over it."""
    split = get_reader("ferplus", root, rule="majority").load("val")
    for i in range(count):
        sample = split.samples[i * len(split) // count]
        size = model.preprocessing.image_size
        yield sample.name, decode(sample.source, size=size), None


def figures(model: ExpressionModel, faces: list[Face], title: str) -> list[dict[str, Any]]:
    """One row for each method that the model allows, and one for random maps."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for name, crop, masks in faces:
        logits = forward_faces(model, crop[None]).logits[0]
        index = int(logits.argmax())
        target = Target(model.classes[index], index=index)
        maps = {"random": draw_random_map(crop.shape[0], name)}
        for method, explain in METHODS.items():
            try:
                maps[method] = explain(model, crop, target)
            except ModelError:
                continue  # a model without attention
        for method, heat in maps.items():
            curves = compute_deletion_insertion(model, crop, target, heat)
            row = found[method]
            row["deletion"].append(curves.deletion_area)
            row["insertion"].append(curves.insertion_area)
            if masks is None:
                continue
            whole = masks[[REGIONS.index(region) for region in LOOKED_AT]].any(axis=0)
            row["share"].append(compute_region_share(heat, whole))
            row["chance"].append(float(whole.mean()))
            for region in LOOKED_AT:
                own = masks[REGIONS.index(region)]
                if own.any():
                    row[region].append(compute_region_share(heat, own) / own.mean())
    rows = []
    for method, values in found.items():
        means = {key: float(np.mean(value)) for key, value in values.items()}
        if "share" in means:
            means["over chance"] = means["share"] / means["chance"]
        rows.append({"network": title, "map": method, "faces": len(faces), **means})
    return rows


def write_table(out: Path, rows: list[dict[str, Any]]) -> None:
    """`table.json` and `table.md`."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        cells = (row.get(c, "") for c in columns)
        texts = (f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells)
        lines.append("| " + " | ".join(texts) + " |")
    write_json(out / "table.json", rows)
    write_text(out / "table.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


def trained_here(out: Path, changes: list[str]) -> ExpressionModel:
    """The model of the first command."""
    run = RunDirectory(out / "run")
    if not run.finished:
        shared = [f"out={run.path}", "model.attention=true", "select={rule: last, every: 1000}"]
        config = load_config("quickstart", [*shared, *changes])
        train(config, resume=run.exists)
    return load_model(run.path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="any model; without it one is trained on drawn faces")
    parser.add_argument("--root", type=Path, help="folder of FER+, for --model")
    parser.add_argument("--out", type=Path, default=Path("runs/explanations"))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("overrides", nargs="*", help="key=value of the training")
    args = parser.parse_args()
    model = load_model(args.model) if args.model else trained_here(args.out, args.overrides)
    faces = list(
        real_faces(model, args.root, args.count) if args.root else drawn_faces(model, args.count)
    )
    seed_everything(0)
    fresh = build_model(model.architecture, bank=model.bank, classes=model.classes)
    with torch.no_grad():  # batch statistics of the faces, as any network would have them
        fresh.train()(fresh.preprocessing.normalize(_batch(faces)))
    rows = figures(model.eval(), faces, "trained") + figures(fresh.eval(), faces, "random weights")
    write_table(args.out, rows)


def _batch(faces: list[Face]) -> torch.Tensor:
    return torch.from_numpy(np.stack([crop for _, crop, _ in faces])).permute(0, 3, 1, 2)


if __name__ == "__main__":
    main()
