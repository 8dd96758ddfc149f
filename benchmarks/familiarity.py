"""What a model takes for no face and for an unfamiliar one: rates, areas under curves, photos.

    python benchmarks/familiarity.py --root DIR [--model FOLDER] [--photos 120] [--faces 800]

The model needs a familiarity, fitted by `ke2nt calibrate`. The first table says what is flagged and
withheld at the stored limits. The second compares scores that could flag a face: areas under the
ROC curve (%) of FER+ validation faces against drawn faces, degraded faces, faces upside down and
images without a face, and in brackets the share of them that is flagged where 1 % of the validation
faces are. The third counts what `ke2nt predict` calls a face in photos with and without people,
before and after rejection. The backgrounds are not those of the fit: photographs, textures,
gratings, gradients, noise and rooms of `composed_photos.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from composed_photos import BACKGROUNDS, Photo, compose, load_faces, without_people
from detectors import BINS, MIN_IOU, overlap
from markdown_tables import format_table
from scipy.special import logsumexp

from ke2nt.data.corruption import MIXED, corrupt
from ke2nt.data.images import decode
from ke2nt.data.sample import FaceSplit
from ke2nt.datasets.catalog import get_reader
from ke2nt.drawn.dataset import DrawnFaces
from ke2nt.evaluation.calibration_metrics import expected_calibration_error, reliability_bins
from ke2nt.evaluation.fit_familiarity import area_under_curve
from ke2nt.evaluation.temperature import softmax
from ke2nt.models.base import ExpressionModel
from ke2nt.models.load import load_model
from ke2nt.predict.centerface import CenterFaceDetector
from ke2nt.predict.classify import FaceClassifier
from ke2nt.predict.detections import Detection, Detector
from ke2nt.predict.recognizer import Recognizer

HOME_RATE = 0.01


class Embedded(NamedTuple):
    """Logits (N, K), embeddings (N, D), face scores and distances (N, 2)."""

    logits: np.ndarray
    embeddings: np.ndarray
    familiarity: np.ndarray


class Given(Detector):
    """A detector that finds what was found before, so that photos are searched once."""

    def __init__(self, found: Sequence[list[Detection]]) -> None:
        self._found = iter(found)

    def detect(self, image: np.ndarray) -> list[Detection]:
        return next(self._found)


def embed(classifier: FaceClassifier, images: Sequence[np.ndarray]) -> Embedded:
    """Embed crops as `ke2nt predict` does."""
    model, parts = classifier.model, []
    for start in range(0, len(images), 128):
        crops = np.stack([classifier.crop(image, None) for image in images[start : start + 128]])
        with torch.inference_mode():
            output = model(model.preprocessing(torch.from_numpy(crops).permute(0, 3, 1, 2)))
            familiarity = model.familiarity.measure(output.embeddings)
        parts.append((output.logits.double(), output.embeddings, familiarity))
    return Embedded(*(torch.cat(part).numpy() for part in zip(*parts, strict=True)))


def image_sets(
    root: str, count: int, classes: Sequence[str]
) -> dict[str, tuple[list[np.ndarray], np.ndarray | None]]:
    """Sets of images with their labels, if they have any; the validation faces first."""

    def find_labels(split: FaceSplit) -> np.ndarray:
        return np.array([classes.index(name) for name in split.classes])[split.labels()]

    split = get_reader("ferplus", root, {"rule": "majority"}).load("val").spread(count)
    faces, labels = [decode(sample.source) for sample in split.samples], find_labels(split)
    sets: dict[str, tuple[list[np.ndarray], np.ndarray | None]]
    sets = {"validation faces": (faces, labels)}
    for severity in (1, 3, 5):
        changed = corrupt(split, MIXED, severity)
        degraded = [decode(each.source) for each in changed.samples]
        sets[f"degraded, severity {severity}"] = degraded, labels
    sets["upside down"] = [np.ascontiguousarray(face[::-1]) for face in faces], labels

    drawn = DrawnFaces(count=count, size=96, seed=7)
    samples = [drawn.render_sample(index) for index in range(count)]
    targets = np.array([classes.index(drawn.classes[sample.label]) for sample in samples])
    sets["drawn faces"] = [sample.image for sample in samples], targets
    rng = np.random.default_rng(5)
    for kind, draw in BACKGROUNDS.items():
        sets[f"no face: {kind}"] = _patches(rng, draw, count // 4), None
    return sets


def judge(
    model: ExpressionModel, sets: dict[str, Embedded], labels: dict[str, np.ndarray | None]
) -> str:
    """What the stored limits flag and withhold, and how right the model is, in percent."""
    calibration, known = model.calibration, model.familiarity
    assert calibration is not None
    assert known is not None
    thresholds, rows = np.array(calibration.thresholds(len(model.classes))), []
    for name, part in sets.items():
        score, distance = part.familiarity.T
        probabilities = softmax(calibration.apply(part.logits))
        best = probabilities.argmax(axis=1)
        no_face = score < known.min_face
        withheld = no_face | (probabilities.max(axis=1) < thresholds[best])
        shares = [no_face, distance > known.max_distance, withheld]
        cells = [f"{100 * share.mean():.1f}" for share in shares]
        cells.append(f"{100 * probabilities.max(axis=1).mean():.1f}")
        true = labels[name]
        if true is None:
            rows.append([name, *cells, "–", "–"])
            continue
        ece = expected_calibration_error(reliability_bins(probabilities, true))
        rows.append([name, *cells, f"{100 * (best == true).mean():.1f}", f"{100 * ece:.1f}"])
    columns = ["images", "not a face %", "unfamiliar %", "withheld %", "mean confidence %"]
    return format_table([*columns, "accuracy %", "ECE %"], rows)


def _patches(
    rng: np.random.Generator, draw: Callable[..., np.ndarray], count: int
) -> list[np.ndarray]:
    """Random squares of 20 to 300 px of backgrounds, ten of each."""
    patches: list[np.ndarray] = []
    while len(patches) < count:
        image = np.clip(draw(rng, 480, 640), 0, 255).astype(np.uint8)
        for _ in range(10):
            side = int(np.exp(rng.uniform(np.log(20), np.log(300))))
            y, x = rng.integers(480 - side), rng.integers(640 - side)
            patches.append(np.ascontiguousarray(image[y : y + side, x : x + side]))
    return patches[:count]


def compare_scores(sets: dict[str, Embedded], train: Embedded) -> str:
    """Areas under the curve of each score on each set; higher scores are less familiar."""
    known = train.embeddings / np.linalg.norm(train.embeddings, axis=1, keepdims=True)

    def neighbor(part: Embedded) -> np.ndarray:
        rows = part.embeddings / np.linalg.norm(part.embeddings, axis=1, keepdims=True)
        return -np.sort(rows @ known.T, axis=1)[:, -10]

    scores: dict[str, Callable[[Embedded], np.ndarray]] = {
        "low confidence": lambda part: logsumexp(part.logits, axis=1) - part.logits.max(axis=1),
        "energy": lambda part: -logsumexp(part.logits, axis=1),
        "tenth neighbor": neighbor,
        "distance (stored)": lambda part: part.familiarity[:, 1],
        "face score (stored)": lambda part: -part.familiarity[:, 0],
    }
    values = {
        name: {key: score(part) for key, part in sets.items()} for name, score in scores.items()
    }
    home, *others = sets
    limits = {name: np.quantile(rows[home], 1 - HOME_RATE) for name, rows in values.items()}
    rows = [
        [
            key,
            *(
                f"{100 * area_under_curve(values[name][key], values[name][home]):.1f} "
                f"({100 * (values[name][key] > limits[name]).mean():.0f})"
                for name in scores
            ),
        ]
        for key in others
    ]
    return format_table(["against validation faces", *scores], rows)


def count_faces(recognizer: Recognizer, photos: Sequence[Photo]) -> list[str]:
    """Recall by size, and false faces per 100 photos with and without people."""
    hits, totals = np.zeros(len(BINS) - 1), np.zeros(len(BINS) - 1)
    false = {True: 0, False: 0}
    results = recognizer([photo.pixels for photo in photos])
    for photo, result in zip(photos, results, strict=True):
        boxes = [face.box for face in result.faces if face.status != "not_a_face"]
        for face in photo.faces:
            size = int(np.digitize(face.box[2] - face.box[0], BINS)) - 1
            totals[size] += 1
            hits[size] += any(overlap(face.box, box) >= MIN_IOU for box in boxes)
        false[bool(photo.faces)] += sum(
            all(overlap(box, face.box) < MIN_IOU for face in photo.faces) for box in boxes
        )
    with_people = sum(bool(photo.faces) for photo in photos)
    recall = [hits.sum() / totals.sum(), *(hits / np.maximum(totals, 1))]
    without = 100 * false[False] / (len(photos) - with_people)
    return [
        *(f"{100 * value:.1f}" for value in recall),
        f"{100 * false[True] / with_people:.0f}",
        f"{without:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="folder of FER+")
    parser.add_argument("--model", default="ke2nt/ferplus-faces")
    parser.add_argument("--faces", type=int, default=800)
    parser.add_argument("--photos", type=int, default=120, help="of each kind; 0: no third table")
    parser.add_argument("--detector-scores", type=float, nargs="+", default=[0.25, 0.1])
    args = parser.parse_args()

    model = load_model(args.model)
    classifier = FaceClassifier(model, device=torch.device("cpu"), batch_size=128)
    images = image_sets(args.root, args.faces, model.classes)
    sets = {key: embed(classifier, pixels) for key, (pixels, _) in images.items()}
    print(judge(model, sets, {key: labels for key, (_, labels) in images.items()}), flush=True)
    train = get_reader("ferplus", args.root, {"rule": "majority"}).load("train").spread(2000)
    known = embed(classifier, [decode(sample.source) for sample in train.samples])
    print(compare_scores(sets, known), flush=True)
    if not args.photos:
        return

    # a lower threshold of the detector finds more, and more that is no face
    photos = compose(load_faces(args.root, "val", 600), args.photos, 2)
    photos += without_people(args.photos, 2)
    rows = []
    for least in args.detector_scores:
        detector = CenterFaceDetector(min_score=least)
        found = [detector.detect(photo.pixels) for photo in photos]
        for name, check in (("all", False), ("faces alone", True)):
            recognizer = Recognizer(model, detector=Given(found), check_faces=check, device="cpu")
            rows.append([f"{least:g}", name, *count_faces(recognizer, photos)])
    sizes = [f"{low}–{min(high, 400)} px" for low, high in pairwise(BINS)]
    columns = ["detector's threshold", "rows", "recall %", *sizes, "false, people", "false, none"]
    print(format_table(columns, rows))


if __name__ == "__main__":
    main()
