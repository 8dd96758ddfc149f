"""Which images a run was trained on: recorded by their pixels, and recognized in an evaluation.

RUN/training_images.json has digests of the pixels at the model's image size, so that a copy or a
renamed file is recognized; names alone where the images were not in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ke2nt.data.sample import FaceSplit
from ke2nt.datasets.base import Reader
from ke2nt.errors import DataError
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.training_data import TrainingData

__all__ = [
    "SeenImages",
    "count_seen_images",
    "find_run",
    "load_split_of_run",
    "record_training_images",
]

_FILE = "training_images.json"


@dataclass(frozen=True)
class SeenImages:
    """How many images of an evaluation a model was trained on.

    Attributes:
        count: Those images.
        total: All images of the evaluation.
    """

    count: int
    total: int

    def note(self) -> str | None:
        """One sentence for reports; None if there are no such images."""
        if not self.count:
            return None
        which = "All" if self.count == self.total else f"{self.count:,} of the"
        return (
            f"{which} {self.total:,} images are training images of this model: its metrics on them "
            "are too high. Use images that it has not seen, such as its split val."
        )

    def to_dict(self) -> dict[str, int]:
        """Plain JSON value."""
        return {"count": self.count, "total": self.total}


def record_training_images(run: RunDirectory, data: TrainingData, start: str | None) -> None:
    """Write which images a run trains on, with those of the run that it starts from.

    Args:
        run: The run directory.
        data: Its data, before they are moved to a device.
        start: Name of the model to start from.
    """
    split = data.train.split
    digests = data.train.pixel_digests()
    facts: dict[str, Any] = {
        "dataset": split.dataset,
        "image_size": data.train.image_size,
        "digests": digests,
        "names": [sample.name for sample in split.samples] if digests is None else None,
    }

    # images of all the runs before this one
    first = None if start is None else find_run(start)
    if first is not None and digests is not None:
        facts["digests"] = [*digests, *(_read(first).get("digests") or ())]
    run.write(_FILE, facts)


def count_seen_images(
    model: str | Path, split: FaceSplit, digests: Sequence[str] | None
) -> SeenImages | None:
    """Count the images of an evaluation that a run was trained on.

    Args:
        model: Run directory, or the model folder in it.
        split: The images.
        digests: Of their pixels, decoded for this model, see `FaceTensors.pixel_digests`.

    Returns:
        None if the model has no run, or an older one that did not record its images.

    Raises:
        CheckpointError: The record is damaged.
    """
    run = find_run(model)
    facts = {} if run is None else _read(run)
    if facts.get("digests") and digests is not None:
        seen = set(facts["digests"])
        return SeenImages(sum(digest in seen for digest in digests), len(split))

    # without pixels in memory, equal names of one dataset are the best evidence there is
    if facts.get("names") and facts.get("dataset") == split.dataset:
        names = set(facts["names"])
        count = sum(sample.name in names for sample in split.samples)
        return SeenImages(count, len(split))
    return None


def find_run(model: str | Path) -> RunDirectory | None:
    """Return the run directory that a model belongs to, or None."""
    path = Path(model).expanduser()
    for folder in (path, path.parent if path.name == "model" else path):
        if (folder / "run.json").is_file():
            return RunDirectory(folder)
    return None


def load_split_of_run(model: str | Path, reader: Reader, split: str) -> FaceSplit:
    """Load a split; `val` of a dataset without one is the part that the model's run set aside.

    Args:
        model: Run directory, model folder, or any other model.
        reader: The dataset.
        split: Name of the split.

    Raises:
        DataError: There is no such split, or the run's images are not in the dataset.
    """
    run = find_run(model)
    if split in reader.splits or split != "val" or run is None:
        return reader.load(split)
    selection = run.read("run.json").get("selection") or {}
    if selection.get("dataset") != reader.name or selection.get("carved_from") is None:
        return reader.load(split)

    # the samples by name, in the order of the dataset
    names = set(run.read("split.json")["val"]["names"])
    whole = reader.load(str(selection["carved_from"]))
    positions = [i for i, sample in enumerate(whole.samples) if sample.name in names]
    if len(positions) < len(names):
        raise DataError(
            f"{len(names) - len(positions)} of the images that the run validated on are not here",
            where=reader.root,
            expected=f"the data of {run.path}",
            hint=f"Name another split: {', '.join(reader.splits)}.",
        )
    return whole.subset(positions, split="val")


def _read(run: RunDirectory) -> Mapping[str, Any]:
    """Content of the record; {} for a run without it."""
    if not (run.path / _FILE).is_file():
        return {}
    facts = run.read(_FILE)
    return facts if isinstance(facts, dict) else {}
