"""One drawn face and its annotations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ke2nt.drawn.expression import ActionUnits

__all__ = ["DrawnFace"]


@dataclass(frozen=True, slots=True)
class DrawnFace:
    """One drawn face and its annotations.

    Attributes:
        index: Position in its `DrawnFaces`.
        name: File name without a suffix, unique in the dataset.
        image: uint8 (S, S, 3) RGB.
        label: Class index.
        expression: Class name.
        intensity: 0 (neutral) to 1 (full).
        style: Name of the drawing style.
        subject: Name of the identity.
        attributes: Facts in words, intensity and style among them.
        action_units: What the face does.
        masks: bool (4, S, S), regions in the order of `render.REGIONS`, or None if not requested.
    """

    index: int
    name: str
    image: np.ndarray
    label: int
    expression: str
    intensity: float
    style: str
    subject: str
    attributes: Mapping[str, str]
    action_units: ActionUnits
    masks: np.ndarray | None = None
