"""A tiny model, drawn people on a plain wall, and a detector that needs no package."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from ke2nt.banks.text_bank import TextBank
from ke2nt.data.images import decode
from ke2nt.drawn.dataset import DrawnFaces
from ke2nt.models.ke2nt import KE2NT
from ke2nt.predict.detections import Detection
from ke2nt.predict.recognizer import Recognizer

CLASSES = ("neutral", "happiness", "disgust")
WALL = (7, 90, 200)


class WallDetector:
    """Treats every region that does not have the color of the wall as a face."""

    def detect(self, image):
        regions, count = ndimage.label((image != np.array(WALL, np.uint8)).any(axis=2))
        detections = []
        for rows, columns in ndimage.find_objects(regions)[:count]:
            box = (columns.start, rows.start, columns.stop, rows.stop)
            detections.append(Detection(tuple(map(float, box)), 0.9))
        return detections[::-1]


@pytest.fixture(scope="session")
def portraits():
    """Six drawn faces, uint8 (64, 64, 3), without a pixel of the wall's color."""
    faces = DrawnFaces(count=48, seed=3, size=64)
    return [faces.render_sample(index).image for index in range(6)]


def make_scene(width, height, *placed):
    """A wall with images on it, each given as (image, x, y)."""
    scene = np.full((height, width, 3), WALL, np.uint8)
    for image, x, y in placed:
        scene[y : y + image.shape[0], x : x + image.shape[1]] = image
    return scene


@pytest.fixture(scope="session")
def scene():
    return make_scene


@pytest.fixture(scope="session")
def fresh_model(portraits):
    torch.manual_seed(0)
    rows = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    bank = TextBank.from_tensors(rows, classes=CLASSES, neutral_index=0, logit_scale=4.0)
    model = KE2NT(bank, "mobilenetv3_small_050", 32)
    pixels = torch.from_numpy(np.stack([decode(face, size=32) for face in portraits]))
    with torch.no_grad():
        for _ in range(30):  # batch statistics, without which all faces get the same output
            model(model.preprocessing.normalize(pixels.permute(0, 3, 1, 2)))
    return model.eval()


@pytest.fixture
def model(fresh_model):
    """A KE2NT with random weights whose predictions differ from face to face."""
    return copy.deepcopy(fresh_model)


@pytest.fixture
def recognizer(model):
    return Recognizer(model, detector=WallDetector(), device="cpu")


@pytest.fixture
def wall_detector():
    return WallDetector()


@pytest.fixture
def save(tmp_path):
    """Write pixels, or a PIL image, into a new file."""

    def write(name, image, **options):
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image)
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return write
