"""How far an adapted model can be trusted without labels, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ke2nt.adapt.prediction_changes import PredictionChanges

__all__ = ["Trust", "assess_trust"]

_FEW_IMAGES = 200
_LARGE_RATIO = 20
_MANY_CHANGES = 0.5
_FAR_APART = 1.5

_SENTENCES = {
    "do not use": "Do not use this model: its predictions have collapsed.",
    "check first": "Check this model on some labeled images before you use it.",
    "plausible": "No warning sign was found; only labels can show whether the model is better.",
}


@dataclass(frozen=True)
class Trust:
    """An assessment without target labels.

    Attributes:
        level: "do not use" where the predictions collapsed, "check first" where there are other
            warning signs, "plausible" where there are none.
        reasons: The warning signs, one sentence each.
    """

    level: Literal["do not use", "check first", "plausible"]
    reasons: tuple[str, ...]

    def sentence(self) -> str:
        """Return the assessment in one sentence."""
        return _SENTENCES[self.level]


def assess_trust(
    changes: PredictionChanges, *, target_images: int, source_images: int | None
) -> Trust:
    """Assess an adapted model.

    Args:
        changes: Predictions before and after.
        target_images: Number of images that the model was adapted to.
        source_images: Number of labeled source images, None without a source.
    """
    # a collapse comes first in the report
    reasons = (
        *_class_problems(changes),
        *_size_problems(target_images, source_images),
        *_prediction_problems(changes),
    )
    if changes.after.metrics.collapsed:
        return Trust("do not use", reasons)
    return Trust("check first" if reasons else "plausible", reasons)


def _class_problems(changes: PredictionChanges) -> list[str]:
    """Report a collapse, or classes that are no longer predicted."""
    before, after = changes.before.metrics, changes.after.metrics
    if after.collapsed:
        largest = changes.classes[after.shares.index(after.largest_share)]
        return [f"{after.largest_share:.0%} of all predictions are {largest}: a collapse."]

    # a class that the model has given up
    lost = [
        name
        for name, old, new in zip(changes.classes, before.shares, after.shares, strict=True)
        if new == 0 and old > 0
    ]
    return [f"No image is predicted as {', '.join(lost)} any more."] if lost else []


def _size_problems(target_images: int, source_images: int | None) -> list[str]:
    """Report too few target images, or domains of very different size."""
    reasons = []
    if target_images < _FEW_IMAGES:
        reasons.append(f"It was adapted to {target_images} images; hundreds are needed.")

    # the smaller domain passes many times in an epoch of the larger one
    if source_images is not None:
        large, small = max(source_images, target_images), min(source_images, target_images)
        if large > _LARGE_RATIO * small:
            reasons.append(
                f"The domains differ greatly in size: {source_images} source images, "
                f"{target_images} target images. The smaller one was repeated many times."
            )
    return reasons


def _prediction_problems(changes: PredictionChanges) -> list[str]:
    """Report many changes, less certain predictions, or domains that remain apart."""
    reasons = []
    if changes.changed_share > _MANY_CHANGES:
        reasons.append(f"{changes.changed_share:.0%} of the predictions changed.")

    # both together: confidence alone also falls when it was too high
    before, after = changes.before.metrics, changes.after.metrics
    if after.confidence < before.confidence and after.information < before.information:
        reasons.append("The predictions are less confident and less varied than before.")

    # alignment is what most methods aim at
    distance = changes.after.domain_distance
    if distance is not None and distance > _FAR_APART:
        reasons.append(
            f"Source and target are still easy to tell apart (distance {distance:.2f} of 2)."
        )
    return reasons
