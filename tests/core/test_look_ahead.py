"""Work ahead in threads: order, bounds, errors, and threads that end."""

from __future__ import annotations

import gc
import itertools
import threading

import numpy as np
import pytest

from ke2nt.runtime import threads
from ke2nt.runtime.look_ahead import is_single, look_ahead


def run(function, items, **options):
    settings = {"workers": 3, "ahead": 5, "weigh": lambda value: 0, "max_weight": 1, **options}
    return look_ahead(function, items, **settings)


def count_pool_threads():
    gc.collect()
    return threading.active_count()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order(workers):
    pauses = np.random.default_rng(0).uniform(0, 0.003, 60)
    never = threading.Event()

    def square(number):
        never.wait(pauses[number])
        return number**2

    assert list(run(square, range(60), workers=workers)) == [n**2 for n in range(60)]
    assert list(run(square, [], workers=workers)) == []


def test_calls_run_at_the_same_time():
    # a barrier lets nobody through until three calls wait there
    barrier = threading.Barrier(3, timeout=60)
    assert sorted(run(lambda number: barrier.wait(), range(9))) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_items_are_taken_a_few_ahead():
    taken = itertools.count()
    last = -1

    def items():
        nonlocal last
        while last < 40:
            last = next(taken)
            yield last

    for used, number in enumerate(run(lambda number: number, items())):
        assert number == used
        assert last - used <= 5


@pytest.mark.parametrize("max_weight", [1, 10, 25])
def test_results_that_wait_are_bounded_by_weight(max_weight):
    # each result weighs 10; those that run are not known yet
    lock, alive, most = threading.Lock(), 0, 0

    def make(number):
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return number

    stream = run(make, range(50), workers=2, ahead=20, weigh=lambda _: 10, max_weight=max_weight)
    for used, number in enumerate(stream):
        assert number == used
        # time for the threads to run too far
        threading.Event().wait(0.002)
        with lock:
            alive -= 1
    assert most <= 2 + -(-max_weight // 10) + 1


@pytest.mark.parametrize("workers", [1, 3])
def test_errors_come_in_the_place_of_their_result(workers):
    def fail_at_seven(number):
        if number == 7:
            raise KeyError("seven")
        return number

    def items():
        yield from range(7)
        raise ValueError("no more")

    before = count_pool_threads()
    for function, source, error in (
        (fail_at_seven, range(20), KeyError),
        (fail_at_seven, items(), ValueError),
    ):
        stream = run(function, source, workers=workers)
        assert [next(stream) for _ in range(7)] == list(range(7))
        with pytest.raises(error):
            next(stream)
    assert count_pool_threads() == before


def test_threads_end_with_the_generator():
    before = count_pool_threads()
    stream = run(lambda number: number, itertools.count())
    assert next(stream) == 0
    assert count_pool_threads() == before + 3
    stream.close()
    assert count_pool_threads() == before

    # dropped half used
    stream = run(lambda number: number, itertools.count())
    assert next(stream) == 0
    del stream
    assert count_pool_threads() == before


def test_single_items_are_told_apart():
    def broken():
        yield 1
        raise ValueError

    for items, single in (([], True), ([1], True), ([1, 2], False), (range(9), False)):
        alone, rest = is_single(items)
        assert (alone, list(rest)) == (single, list(items))
    alone, rest = is_single(broken())
    assert alone
    assert next(rest) == 1
    with pytest.raises(ValueError):
        next(rest)


def test_number_of_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads.count_threads() == 3
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda pid: {0, 5, 6}, raising=False)
    for text in ("", "0", "-2", "4,2", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert threads.count_threads() == 3
    monkeypatch.delattr(threads.os, "sched_getaffinity")
    monkeypatch.setattr(threads.os, "cpu_count", lambda: None)
    assert threads.count_threads() == 1
