"""How much an adaptation may be trusted, in sentences that follow from its figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ke2nt.adapt.answer_changes import Changes

__all__ = ["Trust", "judge_trust"]

_FEW, _MANY_CHANGES, _RATIO = 200, 0.5, 20
_FAR = 1.5


@dataclass(frozen=True)
class Trust:
    """A judgment without target labels.

    Attributes:
        level: "do not use" where the answers collapsed; "check first" where something speaks
            against the adapted model; "plausible" where nothing does.
        reasons: What speaks against it, a sentence each.
    """

    level: Literal["do not use", "check first", "plausible"]
    reasons: tuple[str, ...]

    def sentence(self) -> str:
        """The judgment in one sentence."""
        return {
            "do not use": "Do not use this model: its answers have collapsed.",
            "check first": "Check this model on some labeled images before it is used.",
            "plausible": "Nothing speaks against this model; only labels can show that it is "
            "better.",
        }[self.level]


def judge_trust(changes: Changes, *, adapted_on: int, source_images: int | None) -> Trust:
    """What speaks against an adapted model.

    Args:
        changes: What changed.
        adapted_on: Target images that it was adapted to.
        source_images: Labeled source images, None without a source.
    """
    before, after = changes.before.answers, changes.after.answers
    names = changes.classes
    reasons = []
    if after.collapsed:
        most = names[after.shares.index(after.largest_share)]
        reasons.append(f"{after.largest_share:.0%} of all answers are {most}: a collapse.")
    lost = [
        name
        for name, old, new in zip(names, before.shares, after.shares, strict=True)
        if new == 0 and old > 0
    ]
    if lost and not after.collapsed:
        reasons.append(f"No image is answered {', '.join(lost)} any more.")
    if adapted_on < _FEW:
        reasons.append(f"It was adapted to {adapted_on} images; hundreds are needed.")
    if source_images is not None:
        large, small = max(source_images, adapted_on), min(source_images, adapted_on)
        if large > _RATIO * small:
            reasons.append(
                f"The domains differ much in size: {source_images} source images, {adapted_on} of "
                "the target; the smaller one was seen over and over."
            )
    if changes.changed > _MANY_CHANGES:
        reasons.append(f"{changes.changed:.0%} of the answers changed.")
    if after.confidence < before.confidence and after.information < before.information:
        reasons.append("The answers are less sure and less varied than before.")
    if changes.after.distance is not None and changes.after.distance > _FAR:
        reasons.append(
            f"Source and target can still be told apart with ease (distance "
            f"{changes.after.distance:.2f} of 2)."
        )
    if after.collapsed:
        return Trust("do not use", tuple(reasons))
    return Trust("check first" if reasons else "plausible", tuple(reasons))
