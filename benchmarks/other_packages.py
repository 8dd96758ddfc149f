"""Photos in another package for facial expressions, for `benchmarks/predict_speed.py`.

    PYTHON benchmarks/other_packages.py NAME FOLDER COUNT

NAME is fer, facex or deepface, installed for this Python; ke2nt need not be. Predicts the first
COUNT photos of the folder, or with 0 the first one and then, timed, all, with the package's default
detector. The last line printed is JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path


def load_fer() -> Callable[[str], int]:
    import cv2
    from fer.fer import FER

    detector = FER()
    return lambda path: len(detector.detect_emotions(cv2.imread(path)))


def load_facex() -> Callable[[str], int]:
    import cv2
    from facex import PoolManager

    classifier = PoolManager(pool_size=1).get_classifier()
    return lambda path: len(classifier.predict(cv2.imread(path)))


def load_deepface() -> Callable[[str], int]:
    from deepface import DeepFace

    def analyze(path: str) -> int:
        return len(DeepFace.analyze(path, actions=["emotion"], enforce_detection=False))

    return analyze


LOADERS = {"fer": load_fer, "facex": load_facex, "deepface": load_deepface}


def main() -> None:
    name, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    paths = [str(path) for path in sorted(folder.iterdir())]
    count_faces = LOADERS[name]()
    for path in paths[: count or 1]:
        count_faces(path)

    answer = {"version": metadata.version(name)}
    if not count:
        start = time.perf_counter()
        faces = sum(count_faces(path) for path in paths)
        answer.update(count=len(paths), wall=time.perf_counter() - start, faces=faces)
    answer["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
