"""A model corrected for the class shares of the target."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ke2nt.adapt.class_shares import estimate_shares_bbse, estimate_shares_em
from ke2nt.adapt.gate import compute_matched_distance
from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.evaluation.temperature import fit_temperature, softmax
from ke2nt.models.base import ExpressionModel
from ke2nt.models.calibration import Calibration
from ke2nt.training.compute import EVAL_BATCH_SIZE, Compute

__all__ = ["ShareCheck", "ShareCorrection", "estimate_correction"]

_SAME_LOOK = 0.5
_AGREEMENT = 0.1


@dataclass(frozen=True)
class ShareCheck:
    """Whether estimated class shares can be trusted, without labels of the target.

    Both estimators assume that the domains differ in nothing but class shares. They use different
    statistics of the model's predictions, so that they disagree where the model cannot tell classes
    apart, or the assumption fails.

    Attributes:
        distance: Of the domains, with equally many images of each predicted class; in [0, 2].
        disagreement: Half the sum of the differences between both estimates; in [0, 1].
    """

    distance: float
    disagreement: float

    @property
    def passed(self) -> bool:
        """Whether the domains look the same, and the estimates agree."""
        return self.distance < _SAME_LOOK and self.disagreement <= _AGREEMENT


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
        check: Whether the estimate can be trusted; None if that was not asked.
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
    check: ShareCheck | None = None

    @property
    def trusted(self) -> bool:
        """Whether predictions are to be corrected."""
        return self.check is None or self.check.passed

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
        facts: dict[str, Any] = {"method": self.method, "power": self.power, **shares}
        if self.check is not None:
            facts["check"] = {**asdict(self.check), "passed": self.check.passed}
        return {"n": self.images, "class_shares": facts}


def estimate_correction(
    model: ExpressionModel,
    source: FaceTensors,
    target: FaceTensors,
    method: Literal["em", "bbse", "checked"],
    compute: Compute,
    *,
    power: float = 1.0,
    seed: int = 0,
) -> ShareCorrection:
    """Estimate the class shares of the target. Its labels are not read.

    Args:
        model: Without a calibration; moved to the device of `compute`.
        source: Labeled images that the model was not trained on.
        target: Unlabeled images.
        method: "em", "bbse", or "checked" for "em" with a check.
        compute: Where to predict.
        power: α of the correction.
        seed: Seed of the images that the check looks at.

    Raises:
        DataError: No image of a domain can be read.
    """
    predicted = [
        compute_predictions(
            model,
            images,
            batch_size=EVAL_BATCH_SIZE,
            device=compute.device,
            embeddings=method == "checked",
        )
        for images in (source, target)
    ]
    # (N, K) logits of both domains
    logits = [predictions.logits[0] for predictions in predicted if predictions.logits is not None]

    # posteriors that are right on average where there are labels
    temperature = fit_temperature(logits[0], predicted[0].labels)
    known, unknown = (softmax(values / temperature) for values in logits)
    source_shares = known.mean(axis=0)
    shares, check = estimate_shares_em(unknown, source_shares), None
    if method != "em":
        from_confusions = estimate_shares_bbse(known, predicted[0].labels, unknown)
        if method == "bbse":
            shares = from_confusions
        else:
            distance = compute_matched_distance(predicted[0], predicted[1], seed=seed)
            check = ShareCheck(distance, float(np.abs(shares - from_confusions).sum() / 2))
    return ShareCorrection(
        method="bbse" if method == "bbse" else "em",
        classes=tuple(model.classes),
        temperature=temperature,
        source=source_shares,
        target=shares,
        power=power,
        images=len(unknown),
        dataset=target.split.dataset,
        split=target.split.split,
        check=check,
    )
