"""The logits that a calibration is fitted to: of a split's images, and of degraded copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ke2nt.data.corruption import MIXED, corrupt
from ke2nt.data.sample import ChangedImage, FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import DataError
from ke2nt.evaluation.evaluate_model import decode_for_model
from ke2nt.evaluation.predictions import Predictions, compute_predictions
from ke2nt.evaluation.robustness import LEVELS, decode_to_memory
from ke2nt.labels import MERGE_HINT, LabelMapping
from ke2nt.models.base import ExpressionModel

__all__ = ["CalibrationScores", "compute_calibration_scores", "drop_classes"]


@dataclass(frozen=True, eq=False)
class CalibrationScores:
    """What a calibration is fitted to.

    Attributes:
        predictions: Of the N images that can be read, with embeddings.
        targets: (N,) true classes, as indices of the model's K classes.
        columns: Indices of the K' classes that the calibration is fitted to: all K, or under the
            policy "drop" those that the data has.
        degraded: (V, N, K) logits of V degraded copies of each image; None without copies.
        degraded_embeddings: (V, N, D) embeddings of the same copies; None without copies.
        digests: Digests of the images' pixels, see `FaceTensors.pixel_digests`.
    """

    predictions: Predictions
    targets: np.ndarray
    columns: np.ndarray
    degraded: np.ndarray | None
    digests: list[str] | None = None
    degraded_embeddings: np.ndarray | None = None

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Logits (N, K'), labels (N,) as indices of `columns`, and logits (V, N, K') of copies."""
        assert self.predictions.logits is not None
        logits = self.predictions.logits[0][:, self.columns]
        degraded = None if self.degraded is None else self.degraded[:, :, self.columns]
        return logits, np.searchsorted(self.columns, self.targets), degraded


def drop_classes(split: FaceSplit, mapping: LabelMapping) -> FaceSplit:
    """Leave out the images of classes that the model does not have.

    Raises:
        DataError: No image is left, or all show one class.
    """
    kept = [i for i, sample in enumerate(split.samples) if mapping.index[sample.label] is not None]
    if not kept:
        raise DataError(
            "no image is left after classes were dropped",
            found=", ".join(mapping.dropped),
            hint=MERGE_HINT,
        )

    # a single class tells nothing of the others
    shown = {mapping.index[split.samples[i].label] for i in kept}
    if len(shown) == 1 < len(mapping.target):
        raise DataError(
            "all images show one class, and any confidence in it would fit",
            expected="images of two classes or more",
            found=", ".join(name for k, name in enumerate(mapping.target) if k in shown),
            hint="Use images of all classes, as the model will meet them.",
        )
    return split.subset(kept)


def compute_calibration_scores(
    model: ExpressionModel,
    split: FaceSplit,
    mapping: LabelMapping,
    *,
    degraded: bool = True,
    seed: int = 0,
    quiet: bool = True,
    **options: Any,
) -> CalibrationScores:
    """Predict a split, and copies of it degraded by a random corruption at each severity.

    Args:
        model: A recognizer.
        split: Images of classes that the model has; see `drop_classes`.
        mapping: From the classes of the split to those of the model.
        degraded: Whether to predict degraded copies; never of images that are changed already.
        seed: Seed of the corruptions.
        quiet: Show no progress on stderr.
        **options: Options of `compute_predictions`.

    Raises:
        DataError: No image can be read.
    """
    # read once for all copies, if they fit into memory
    is_changed = any(isinstance(sample.source, ChangedImage) for sample in split.samples)
    copies = degraded and not is_changed
    images = decode_to_memory(split, quiet=quiet) if copies else split

    def predict(faces: FaceTensors) -> Predictions:
        return compute_predictions(model, faces, embeddings=True, quiet=quiet, **options)

    faces = decode_for_model(model, images, quiet=quiet)
    predictions, digests = predict(faces), faces.pixel_digests()
    views, view_embeddings = [], []
    for severity in LEVELS if copies else ():
        changed = corrupt(images, MIXED, severity, seed=seed)
        copy = predict(decode_for_model(model, changed, quiet=quiet))
        assert copy.logits is not None
        assert copy.embeddings is not None
        views.append(copy.logits[0])
        view_embeddings.append(copy.embeddings)

    # under "drop" the other classes are masked out, as `score_predictions` does
    unused = mapping.unused if mapping.policy == "drop" else ()
    columns = [k for k, name in enumerate(mapping.target) if name not in unused]
    return CalibrationScores(
        predictions=predictions,
        targets=np.array(mapping.index)[predictions.labels].astype(np.int64),
        columns=np.array(columns),
        degraded=np.stack(views) if views else None,
        digests=digests,
        degraded_embeddings=np.stack(view_embeddings) if view_embeddings else None,
    )
