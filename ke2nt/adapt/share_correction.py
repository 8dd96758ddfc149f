"""A model corrected for the class shares of the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ke2nt.adapt.class_shares import estimate_shares_bbse, estimate_shares_em
from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.evaluation.temperature import fit_temperature, softmax
from ke2nt.models.base import ExpressionModel
from ke2nt.models.calibration import Calibration
from ke2nt.training.compute import EVAL_BATCH_SIZE, Compute

__all__ = ["ShareCorrection", "estimate_correction"]


@dataclass(frozen=True)
class ShareCorrection:
    """Class shares of both domains, and what they change in a model's logits.

    Attributes:
        method: How the target's shares were estimated.
        classes: K names.
        temperature: T, fitted on the source.
        source: (K,) s, mean of the calibrated posteriors on the source.
        target: (K,) q, estimated.
        power: α: 1 follows the shares of the target, 0 treats all classes alike.
        images: Images of the target.
        dataset: Name of the target.
        split: Its split.
    """

    method: Literal["em", "bbse"]
    classes: tuple[str, ...]
    temperature: float
    source: np.ndarray
    target: np.ndarray
    power: float
    images: int
    dataset: str
    split: str

    def calibration(self) -> Calibration:
        """Return the logits' map z / T + α log q − log s, which adapts a model to the shares.

        q counts one more image of each class, since an estimated share of 0 would rule it out.
        """
        classes = len(self.classes)
        target = (self.images * self.target + 1) / (self.images + classes)
        bias = self.power * np.log(target) - np.log(np.clip(self.source, 1e-6, None))
        return Calibration(
            method="vector",
            weight=(1 / self.temperature,) * classes,
            bias=tuple(float(value) for value in bias),
            fitted_on={"dataset": self.dataset, "split": self.split, **self.to_dict()},
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        shares = {
            domain: dict(zip(self.classes, map(float, values), strict=True))
            for domain, values in (("source", self.source), ("target", self.target))
        }
        facts = {"method": self.method, "power": self.power, **shares}
        return {"n": self.images, "class_shares": facts}


def estimate_correction(
    model: ExpressionModel,
    source: FaceTensors,
    target: FaceTensors,
    method: Literal["em", "bbse"],
    compute: Compute,
    *,
    power: float = 1.0,
) -> ShareCorrection:
    """Estimate the class shares of the target. Its labels are not read.

    Args:
        model: Without a calibration; moved to the device of `compute`.
        source: Labeled images that the model was not trained on.
        target: Unlabeled images.
        method: "em" or "bbse".
        compute: Where to predict.
        power: α of the correction.

    Raises:
        DataError: No image of a domain can be read.
    """
    predicted = [
        compute_predictions(model, images, batch_size=EVAL_BATCH_SIZE, device=compute.device)
        for images in (source, target)
    ]
    # (N, K) logits of both domains
    logits = [predictions.logits[0] for predictions in predicted if predictions.logits is not None]

    # posteriors that are right on average where there are labels
    temperature = fit_temperature(logits[0], predicted[0].labels)
    known, unknown = (softmax(values / temperature) for values in logits)
    source_shares = known.mean(axis=0)
    if method == "em":
        shares = estimate_shares_em(unknown, source_shares)
    else:
        shares = estimate_shares_bbse(known, predicted[0].labels, unknown)
    return ShareCorrection(
        method=method,
        classes=tuple(model.classes),
        temperature=temperature,
        source=source_shares,
        target=shares,
        power=power,
        images=len(unknown),
        dataset=target.split.dataset,
        split=target.split.split,
    )
