"""A function applied to items in threads, a few items ahead of their use, in order."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

__all__ = ["is_single", "look_ahead"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def look_ahead(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    ahead: int,
    weigh: Callable[[Any], int],
    max_weight: int,
) -> Generator[Result, None, None]:
    """Apply a function to items, a few ahead of the result that is used.

    Items are taken in the calling thread. An error of the items or of the function is raised in the
    place of its result, after all results before it. Closing the generator waits for the calls that
    are running, and starts no other.

    Args:
        function: Called in several threads at a time.
        items: Taken one by one; not more than `ahead` without a used result.
        workers: Number of threads; with 1 the calling thread does all.
        ahead: Maximum number of items between the one last taken and the result last used.
        weigh: Size of an item or a result in memory, in any unit.
        max_weight: No item is taken, and no call started, while those that wait weigh this much or
            more, but for the one that is needed next.
    """
    source = iter(items)
    if workers <= 1:
        for item in source:
            yield function(item)
        return

    pool = _Pool(function, workers, weigh, max_weight)
    waiting: deque[_Task] = deque()
    is_open = True
    try:
        while True:
            # threads work on these while the caller uses the result before them
            while is_open and len(waiting) < ahead and _weigh(waiting) < max_weight:
                task = _take(source)
                is_open = task.is_item
                if is_open:
                    pool.submit(task)
                if is_open or task.error is not None:
                    waiting.append(task)
            if not waiting:
                return
            yield pool.wait_for(waiting.popleft())
    finally:
        pool.close()


def is_single(items: Iterable[Item]) -> tuple[bool, Iterator[Item]]:
    """Whether there are fewer than two items, and an iterator of all of them.

    Two are taken at once; an error of the second one is raised after the first.
    """
    source = iter(items)
    first: list[Item] = []
    error: Exception | None = None
    try:
        first.extend(islice(source, 2))
    except Exception as caught:
        error = caught
    return len(first) < 2, _chain(first, error, source)


def _chain(first: list[Item], error: Exception | None, rest: Iterator[Item]) -> Iterator[Item]:
    yield from first
    if error is not None:
        raise error
    yield from rest


@dataclass(eq=False, slots=True)
class _Task:
    """An item on its way; or the end of the items, with their error if they failed."""

    item: Any = None
    is_item: bool = True
    weight: int = 0  # of the item, then of its result
    is_done: bool = False
    result: Any = None
    error: BaseException | None = None


def _take(source: Iterator[Any]) -> _Task:
    try:
        return _Task(next(source))
    except StopIteration:
        return _Task(is_item=False, is_done=True)
    except Exception as error:
        return _Task(is_item=False, is_done=True, error=error)


def _weigh(tasks: Iterable[_Task]) -> int:
    return sum(task.weight for task in tasks)


@dataclass(eq=False, slots=True)
class _Shared:
    """What the threads of a pool share; `changed` guards all of it."""

    function: Callable[[Any], Any]
    weigh: Callable[[Any], int]
    max_weight: int
    changed: threading.Condition = field(default_factory=threading.Condition)
    todo: deque[_Task] = field(default_factory=deque)
    done_weight: int = 0  # of results that nobody has taken
    is_closed: bool = False

    def may_start(self) -> bool:
        # the first task not started is needed next if no result waits, so this never blocks it
        return bool(self.todo) and self.done_weight < self.max_weight


class _Pool:
    """Threads that start tasks in order.

    They are daemons, so that a generator that is left half used does not keep the interpreter from
    ending; before that, or when the pool is dropped, they are told to end and waited for.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        workers: int,
        weigh: Callable[[Any], int],
        max_weight: int,
    ) -> None:
        self._shared = _Shared(function, weigh, max_weight)
        threads = [
            threading.Thread(target=_work, args=(self._shared,), daemon=True)
            for _ in range(workers)
        ]
        self.close = weakref.finalize(self, _end, self._shared, threads)
        for thread in threads:
            thread.start()

    def submit(self, task: _Task) -> None:
        """Queue a task."""
        task.weight = self._shared.weigh(task.item)
        with self._shared.changed:
            self._shared.todo.append(task)
            self._shared.changed.notify_all()

    def wait_for(self, task: _Task) -> Any:
        """Wait for the oldest task, and return its result or raise its error."""
        shared = self._shared
        with shared.changed:
            shared.changed.wait_for(lambda: task.is_done)
            shared.done_weight -= task.weight
            shared.changed.notify_all()

        if task.error is not None:
            raise task.error
        return task.result


def _work(shared: _Shared) -> None:
    """Run tasks until the pool is closed."""
    while True:
        with shared.changed:
            shared.changed.wait_for(lambda: shared.is_closed or shared.may_start())
            if shared.is_closed:
                return
            task = shared.todo.popleft()

        result, error = None, None
        try:
            result = shared.function(task.item)
        except BaseException as caught:  # raised again where the result is used
            error = caught

        with shared.changed:
            task.item, task.result, task.error = None, result, error
            task.weight = 0 if error is not None else shared.weigh(result)
            task.is_done = True
            shared.done_weight += task.weight
            shared.changed.notify_all()

        # a thread that waits for work holds nothing of the last
        del task, result, error


def _end(shared: _Shared, threads: list[threading.Thread]) -> None:
    with shared.changed:
        shared.is_closed = True
        shared.todo.clear()
        shared.changed.notify_all()
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join()
