"""Does a face in a photo get the answer that it gets as a crop?

    python benchmarks/pasted_faces.py --root DIR [--model FOLDER] [--faces 150]

FER+ validation faces are pasted into photographs, textures and drawn rooms: at 40 to 400 px,
turned by up to 30 degrees, and cut by the border by a quarter of their side. Each is found by
CenterFace, cropped and recognized as `ke2nt predict` does, and compared with `evaluate` on the
crop itself: the share that is found, the same answer, and the accuracy of both, with the crop
upright in the photo and (--align) turned until the eyes are level. One seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from composed_photos import BACKGROUNDS
from detectors import MIN_IOU, overlap
from markdown_tables import format_table
from PIL import Image

from ke2nt.data.images import decode
from ke2nt.datasets.catalog import get_reader
from ke2nt.models.load import load_model
from ke2nt.predict.classify import FaceClassifier
from ke2nt.predict.crop import crop_level, crop_square
from ke2nt.predict.detections import Detection
from ke2nt.predict.detectors import get_detector

HEIGHT, WIDTH = 480, 640
CONDITIONS = {
    "40 px": (40, 0.0, 0.0),
    "80 px": (80, 0.0, 0.0),
    "160 px": (160, 0.0, 0.0),
    "400 px": (400, 0.0, 0.0),
    "160 px, turned 15°": (160, 15.0, 0.0),
    "160 px, turned 30°": (160, 30.0, 0.0),
    "80 px, turned 30°": (80, 30.0, 0.0),
    "160 px, a quarter beyond the border": (160, 0.0, 0.25),
}


@dataclass(frozen=True)
class Pasted:
    """A photo with one face and its box before it was turned."""

    pixels: np.ndarray
    box: tuple[float, float, float, float]


def paste(face: np.ndarray, condition: str, rng: np.random.Generator) -> Pasted:
    """Paste a face into a background, with an edge that fades out."""
    side, degrees, beyond = CONDITIONS[condition]
    kinds = [BACKGROUNDS[kind] for kind in ("photo", "texture", "room", "gradient")]
    background = kinds[rng.integers(len(kinds))](rng, HEIGHT, WIDTH)
    canvas = Image.fromarray(np.clip(background, 0, 255).astype(np.uint8))

    # an ellipse, as the square's corners would show how far it is turned
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    alpha = np.clip((1.15 - np.hypot(x, y)) / 0.2, 0, 1)
    image = Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC)
    image.putalpha(Image.fromarray((255 * alpha).astype(np.uint8)))
    turned = image.rotate(rng.choice([-1, 1]) * degrees, Image.Resampling.BICUBIC, expand=True)

    left = -side * beyond if beyond else rng.uniform(0, WIDTH - side)
    center = (left + side / 2, rng.uniform(0, HEIGHT - side) + side / 2)
    corner = (round(center[0] - turned.width / 2), round(center[1] - turned.height / 2))
    canvas.paste(turned.convert("RGB"), corner, turned.getchannel("A"))
    x0, y0 = center[0] - side / 2, center[1] - side / 2
    return Pasted(np.asarray(canvas), (x0, y0, x0 + side, y0 + side))


def find(pasted: Pasted, detections: Sequence[Detection]) -> Detection | None:
    """The detection of the pasted face."""
    best = max(detections, key=lambda face: overlap(face.box, pasted.box), default=None)
    return best if best is not None and overlap(best.box, pasted.box) >= MIN_IOU else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="folder of FER+")
    parser.add_argument("--model", default="ke2nt/ferplus-faces")
    parser.add_argument("--faces", type=int, default=150)
    args = parser.parse_args()

    model = load_model(args.model)
    classifier = FaceClassifier(model, device=torch.device("cpu"), batch_size=128)
    detector = get_detector("centerface:640")
    split = get_reader("ferplus", args.root, {"rule": "majority"}).load("val").spread(args.faces)
    faces = [decode(sample.source) for sample in split.samples]
    labels = np.array([model.classes.index(split.classes[label]) for label in split.labels()])

    def predict(squares: Sequence[np.ndarray]) -> np.ndarray:
        crops = [classifier.crop(square, None) for square in squares]
        return classifier.classify(crops).probabilities.argmax(axis=1)

    alone, margin = predict(faces), classifier.settings.margin
    rows = []
    for condition in CONDITIONS:
        rng = np.random.default_rng(0)
        photos = [paste(face, condition, rng) for face in faces]
        found = [find(photo, detector.detect(photo.pixels)) for photo in photos]
        kept = np.array([face is not None for face in found])
        pairs = [(p, f) for p, f in zip(photos, found, strict=True) if f is not None]
        upright = predict([crop_square(p.pixels, f.box, margin) for p, f in pairs])
        level = predict([crop_level(p.pixels, f, margin) for p, f in pairs])
        values = [kept.mean(), (alone == labels)[kept].mean()]
        for answer in (upright, level):
            values += [(answer == alone[kept]).mean(), (answer == labels[kept]).mean()]
        rows.append([condition, *(f"{100 * value:.1f}" for value in values)])
        print(rows[-1], flush=True)

    columns = ["faces in photos", "found %", "accuracy as crops %"]
    columns += ["same answer %", "accuracy %", "same answer, level %", "accuracy, level %"]
    print(format_table(columns, rows))


if __name__ == "__main__":
    main()
