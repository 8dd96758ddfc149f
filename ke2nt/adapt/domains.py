"""The images of both domains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ke2nt.adapt.target_images import TargetData, load_target
from ke2nt.config.adapt import AdaptConfig
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.datasets.catalog import get_reader
from ke2nt.labels import check_same_labels
from ke2nt.models.base import ExpressionModel
from ke2nt.models.load import load_model
from ke2nt.training.image_tower import initial_preprocessing
from ke2nt.training.training_data import TrainingData, load_training_data

__all__ = ["Domains", "load_source_images", "load_target_images", "source_form"]


@dataclass(frozen=True)
class Domains:
    """The images of a run.

    Attributes:
        source: Labeled images, None for methods that see the target alone.
        target: Images to adapt to.
    """

    source: TrainingData | None
    target: TargetData

    def split_record(self) -> dict[str, Any]:
        """Return sample names and digests of source labels, to recognize the data at resume."""
        split = self.target.images.split
        record = {
            "target": {
                "dataset": split.dataset,
                "split": split.split,
                "names": [sample.name for sample in split.samples],
            }
        }
        return record if self.source is None else {**record, **self.source.split_record()}

    def sizes(self) -> dict[str, int]:
        """Return the number of images of each split."""
        sizes = {"target": len(self.target.images)}
        if self.source is not None:
            sizes |= {"train": len(self.source.train), "val": len(self.source.val)}
        return sizes

    def failed(self) -> dict[str, str]:
        """Return sample name → reason, of every image that could not be read."""
        failed = dict(self.target.images.failed)
        return failed if self.source is None else {**failed, **self.source.failed()}


def load_target_images(config: AdaptConfig, quiet: bool) -> TargetData:
    """Load the target for the model to start from, or for the one that will be trained first."""
    if config.start is not None:
        model = load_model(config.start)
        return load_target(config.target, model.classes, model.preprocessing, quiet=quiet)

    # no model yet: classes and image size are those of the configured training run
    classes, preprocessing = source_form(config)
    return load_target(config.target, classes, preprocessing, quiet=quiet)


def source_form(config: AdaptConfig) -> tuple[tuple[str, ...], Preprocessing]:
    """Return classes and preprocessing of a model that is trained on the source."""
    reader = get_reader(config.data.name, config.data.root, config.data.options)
    classes = tuple(c for c in reader.classes if c not in config.data.hold_out)
    return classes, initial_preprocessing(config)


def load_source_images(
    config: AdaptConfig, model: ExpressionModel, quiet: bool
) -> TrainingData | None:
    """Load the labeled source images, where the method needs them.

    Raises:
        LabelError: Their classes are not those of the model.
    """
    if config.source_free:
        return None
    source = load_training_data(config, model.preprocessing, quiet=quiet)
    check_same_labels(model.classes, source.classes, where="the source's images")
    return source
