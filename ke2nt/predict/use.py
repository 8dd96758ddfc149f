"""How a model wants its faces cropped and its intensities scaled: facts on its card."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from ke2nt.errors import CheckpointError
from ke2nt.models.recogniser import Recogniser

__all__ = ["DEFAULT_MARGIN", "ModelUse"]

DEFAULT_MARGIN = 0.0
"""A square as large as the longer side of the detector's box, as FER+ is cropped."""


@dataclass(frozen=True, slots=True)
class ModelUse:
    """Facts that a model's card keeps under "predict", for faces that come from a detector.

    Attributes:
        margin: The crop is a square of (1 + margin) times the longer side of the detector's box,
            around its centre.
        face_pixels: Side in pixels of the pictures that the model was trained from, where they were
            smaller than its input; sharper crops are first reduced to it. None for no such step.
        intensity_unit: Raw intensity that is called 1, above 0.

    Raises:
        CheckpointError: A value is out of range.
    """

    margin: float = DEFAULT_MARGIN
    face_pixels: int | None = None
    intensity_unit: float = 1.0

    def __post_init__(self) -> None:
        sound = (
            -0.5 < self.margin < 4
            and (self.face_pixels is None or 8 <= self.face_pixels <= 4096)
            and 0 < self.intensity_unit < math.inf
        )
        if not sound:
            raise CheckpointError(
                "the model's facts for prediction are out of range",
                expected="margin above -0.5, face_pixels from 8, intensity_unit above 0",
                found=asdict(self),
            )

    @classmethod
    def of(cls, model: Recogniser) -> Self:
        """The facts of a model; defaults for those that its card does not have."""
        stored: dict[str, Any] = model.card.get("predict") or {}
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value, to be stored in `model.card["predict"]`."""
        return asdict(self)
