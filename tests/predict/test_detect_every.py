"""Videos searched for faces at every n-th frame: boxes between, new faces, damage, memory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ke2nt.errors import ConfigError, DataError
from ke2nt.predict import between, recognizer, video
from ke2nt.predict.between import SearchedFrame, fill_between, plan_searches
from ke2nt.predict.detections import Detection
from ke2nt.predict.frames import Frame
from ke2nt.predict.recognizer import Recognizer

FPS = 10
PIXELS = np.zeros((20, 30, 3), np.uint8)


def make_frame(number, readable=True):
    return Frame("film", PIXELS if readable else None, number, number / FPS if readable else None)


def face(left, score=0.8, top=0.0):
    box = (left, top, left + 10.0, top + 10.0)
    return Detection(box, score, ((left, top), (left + 4.0, top + 2.0)))


def fill(frames, every, detect):
    """Run both parts of the module; `detect` gives the faces of a frame by its number."""

    def search(frame):
        found = detect(frame.index)
        if isinstance(found, DataError):
            return SearchedFrame(Frame("film", None, frame.index, problem=str(found)), None)
        return SearchedFrame(frame, found)

    planned = plan_searches(frames, every)
    searched = (search(f) if due else SearchedFrame(f, None) for f, due in planned)
    return list(fill_between(searched, search))


def test_faces_between_two_searches_move_along_a_line():
    # every fifth frame of 0, 5, 10, and the last
    places = {0: 0.0, 5: 5.0, 10: 3.0, 12: 3.4}
    frames = [make_frame(number) for number in range(13)]
    found = fill(frames, 5, lambda number: [face(places[number], score=0.5 + number / 100)])
    lefts = np.interp(np.arange(13), list(places), list(places.values()))
    assert [each.frame.index for each in found] == list(range(13))
    for number, (_, faces) in enumerate(found):
        (between_two,) = faces
        left = lefts[number]
        assert between_two.box == pytest.approx((left, 0, left + 10, 10))
        assert between_two.score == pytest.approx(0.5 + number / 100)
        assert between_two.landmarks[1] == pytest.approx((left + 4, 2))


def test_faces_are_told_apart_by_their_boxes():
    # they pass each other's height, and the detector lists them in another order
    def detect(number):
        faces = [face(0.0, 0.9, top=number), face(15.0, 0.6, top=6.0 - number)]
        return faces if number == 0 else faces[::-1]

    found = fill([make_frame(number) for number in range(7)], 3, detect)
    for number, (_, faces) in enumerate(found):
        tops = {each.box[0]: each.box[1] for each in faces}
        assert tops == pytest.approx({0.0: number, 15.0: 6 - number})


def test_new_and_lost_faces_appear_with_a_search():
    # the first person is there up to frame 6, the second one from frame 2
    def detect(number):
        faces = [face(0.0)] if number <= 6 else []
        return faces + ([face(15.0)] if number >= 2 else [])

    found = fill([make_frame(number) for number in range(10)], 3, detect)
    assert [len(faces) for _, faces in found] == [1, 1, 1, 2, 2, 2, 2, 1, 1, 1]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DataError("the camera is gone")])
def test_frames_before_an_error_are_not_lost(error):
    def searched():
        for number in range(8):
            frame = make_frame(number)
            yield SearchedFrame(frame, [face(float(number))] if number % 5 == 0 else None)
        raise error

    stream = fill_between(searched(), lambda f: SearchedFrame(f, [face(float(f.index))]))
    found = [next(stream) for _ in range(8)]
    with pytest.raises(type(error)):
        next(stream)
    assert [each.frame.index for each in found] == list(range(8))
    assert [each.detections[0].box[0] for each in found] == pytest.approx(list(range(8)))


def test_unreadable_frames_stay_in_place():
    frames = [make_frame(number, readable=number not in (0, 3, 4, 8)) for number in range(9)]
    searched = []

    def detect(number):
        searched.append(number)
        return DataError("too strange") if number == 5 else [face(float(number))]

    found = fill(frames, 2, detect)
    assert [each.frame.index for each in found] == list(range(9))
    assert searched == [1, 5, 7]
    lefts = [None if faces is None else faces[0].box[0] for _, faces in found]
    assert lefts == [None, 1, 2, None, None, None, pytest.approx(6), 7, None]
    assert found[5].frame.problem == "too strange"


def test_times_that_do_not_ascend_keep_boxes_between():
    times = [0.0, 5.0, 0.2, 0.3]
    frames = [Frame("film", PIXELS, number, time) for number, time in enumerate(times)]
    found = fill(frames, 3, lambda number: [face(float(number))])
    assert [faces[0].box[0] for _, faces in found] == pytest.approx([0, 3, 2, 3])
    frames = [Frame("film", PIXELS, number, 0.0) for number in range(4)]
    found = fill(frames, 3, lambda number: [face(float(number))])
    assert [faces[0].box[0] for _, faces in found] == pytest.approx([0, 1.5, 1.5, 3])


def test_large_frames_are_searched_more_often(monkeypatch):
    monkeypatch.setattr(between, "_MAX_PIXELS", 3 * 20 * 30)
    plans = [due for _, due in plan_searches((make_frame(n) for n in range(9)), 100)]
    assert [number for number, due in enumerate(plans) if due] == [0, 4, 8]


# -------------------------------------------------------------------------------- whole videos


class Counting:
    """Counts how often a detector is called; for several threads, if it may."""

    def __init__(self, detector):
        self.detector, self.calls = detector, itertools.count()

    def detect(self, image):
        next(self.calls)
        return self.detector.detect(image)


@pytest.fixture
def watch(model, wall_detector, portraits, scene, monkeypatch):
    """Forty frames of a person who walks at 4 px a frame; from frame 21 a second one stands there.

    `watch(every)` gives the rows and the number of searches.
    """

    def draw(number):
        placed = [(portraits[0], 8 + 4 * number, 10)]
        if number >= 21:
            placed.append((portraits[1], 240, 90))
        return Frame("film", scene(320, 160, *placed), number, number / FPS)

    def watch(detect_every, workers=1, source="film.mp4", **options):
        frames = (draw(number) for number in range(40))
        monkeypatch.setattr(recognizer, "video_frames", lambda *args, **kwargs: frames)
        detector = Counting(wall_detector)
        if workers > 1:
            detector.for_threads = lambda: detector
        watcher = Recognizer(
            *(model,), detector=detector, workers=workers, batch_size=8, check_quality=False
        )
        rows = watcher.predict_video(source, detect_every=detect_every, **options)
        return list(rows), next(detector.calls)

    return watch


@pytest.mark.parametrize("every", [2, 3, 5])
def test_rows_hardly_change(watch, every):
    all_rows, searches = watch(1)
    assert searches == 40
    rows, searches = watch(every)
    assert searches == len({*range(0, 40, every), 39})

    # the second person comes with the first search that finds her
    first = -(-21 // every) * every
    missing = {(row.frame, row.track) for row in all_rows} - {(r.frame, r.track) for r in rows}
    assert missing == {(number, 2) for number in range(21, first)}
    expected = {(row.frame, row.track): row for row in all_rows}
    for row in rows:
        other = expected[row.frame, row.track]
        assert row.box == pytest.approx(other.box)
        if row.track == 1:
            assert [*row.probabilities.values()] == pytest.approx(
                [*other.probabilities.values()], abs=1e-5
            )


@pytest.mark.parametrize("every", [1, 4])
def test_threads_give_the_same_rows(watch, every):
    rows, searches = watch(every)
    assert watch(every, workers=3) == (rows, searches)


def test_cameras_wait_for_the_next_search_alone(watch):
    rows, searches = watch(4, source=0)
    assert searches == 11
    for row, other in zip(rows, watch(4)[0], strict=True):
        assert (row.frame, row.track, row.box) == (other.frame, other.track, other.box)


@pytest.mark.parametrize("bad", [0, -3, 2.5, True, "2", None])
def test_wrong_numbers_are_refused_before_the_video_is_opened(
    model, wall_detector, bad, monkeypatch
):
    monkeypatch.setattr(video, "_read_file", None)
    watcher = Recognizer(model, detector=wall_detector)
    for start in (watcher.predict_video, watcher.stream_video):
        with pytest.raises(ConfigError, match="detect_every"):
            start("film.mp4", detect_every=bad)


def test_without_detector_there_is_nothing_to_run_less_often(model):
    watcher = Recognizer(model, detector=None)
    with pytest.raises(ConfigError, match="without a detector"):
        watcher.predict_video("film.mp4", detect_every=2)
