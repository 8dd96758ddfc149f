"""Fine-tuning on class folders: how class names were read, and what training has changed."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from ke2nt.data.sample import FaceSplit
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.evaluation.score import Evaluation
from ke2nt.labels import CANONICAL
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.load import load_model
from ke2nt.training.seen_images import count_seen_images
from ke2nt.training.train_recognizer import TrainResult

__all__ = ["describe_classes", "describe_copies", "evaluate_start", "folder_names"]

_ALIKE = 0.8  # similarity of a misspelling, 0 to 1


def folder_names(split: FaceSplit) -> dict[str, tuple[str, ...]]:
    """Return class → names of its folders, such as happiness → happy, of a split of folders."""
    names: dict[str, set[str]] = defaultdict(set)
    for sample in split.samples:
        names[split.classes[sample.label]].add(PurePosixPath(sample.name).parent.name)
    return {name: tuple(sorted(names[name])) for name in split.classes}


def describe_classes(folders: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Say how each class was read, and name a word that may be a misspelt expression."""
    described = []
    for name, names in folders.items():
        if name not in CANONICAL:
            near = difflib.get_close_matches(name.lower(), CANONICAL, n=1, cutoff=_ALIKE)
            question = f"; did you mean {near[0]}?" if near else ""
            described.append(f"{name} (your word{question})")
        else:
            others = [other for other in names if other != name]
            described.append(f"{name} ({', '.join(others)})" if others else name)
    return described


def describe_copies(result: TrainResult) -> str | None:
    """Say how many validation images are copies of training images; None if there are none."""
    images = result.data.val
    seen = count_seen_images(result.run.path, images.split, images.pixel_digests())
    if seen is None or not seen.count:
        return None
    return (
        f"{seen.count:,} of the {seen.total:,} validation images are copies of training images: "
        "the metrics are too high. ke2nt data check folder DIR lists copies."
    )


def evaluate_start(result: TrainResult, **options: Any) -> Evaluation | None:
    """Evaluate the model that a run started from on the run's validation images.

    Its classes are those of the run, as words: it has not been trained for them.

    Args:
        result: A finished run.
        **options: As for `evaluate_model`.

    Returns:
        None if it has no text head, so that it can only name its own classes, or there is none.
    """
    config = result.run.load_config()
    if config.start is None:
        return None
    start, trained = load_model(config.start), load_model(result.run.path)
    if not isinstance(start, KE2NT) or trained.bank is None or trained.bank.dim != start.dim:
        return None

    # a calibration of other words and images says nothing here
    start.set_bank(trained.bank)
    start.calibration = None
    return evaluate_model(start, result.data.val, **options)
