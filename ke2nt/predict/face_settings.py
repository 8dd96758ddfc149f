"""How a model wants its faces cropped and its intensities scaled: facts on its card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from ke2nt.errors import CheckpointError
from ke2nt.models.base import ExpressionModel
from ke2nt.predict.intensity import IntensityScale

__all__ = ["DEFAULT_MARGIN", "ModelUse"]

DEFAULT_MARGIN = 0.0
"""A square as large as the longer side of the detector's box, as FER+ is cropped."""


@dataclass(frozen=True, slots=True)
class ModelUse:
    """Facts that a model's card keeps under "predict", for faces that come from a detector.

    Attributes:
        margin: The crop is a square of (1 + margin) times the longer side of the detector's box,
            around its center.
        face_pixels: Side in pixels of the pictures that the model was trained from, where they were
            smaller than its input; sharper crops are first reduced to it. None for no such step.
        intensity: From raw intensities to those that users see; None leaves them raw.

    Raises:
        CheckpointError: A value is out of range.
    """

    margin: float = DEFAULT_MARGIN
    face_pixels: int | None = None
    intensity: IntensityScale | None = None

    def __post_init__(self) -> None:
        if not -0.5 < self.margin < 4 or (
            self.face_pixels is not None and not 8 <= self.face_pixels <= 4096
        ):
            raise CheckpointError(
                "the model's facts for prediction are out of range",
                expected="margin from -0.5 to 4, face_pixels from 8 to 4096",
                found=(self.margin, self.face_pixels),
            )

    @classmethod
    def of(cls, model: ExpressionModel) -> Self:
        """The facts of a model; defaults for those that its card does not have."""
        stored: dict[str, Any] = model.card.get("predict") or {}
        scale = stored.get("intensity")
        try:
            return cls(
                margin=stored.get("margin", DEFAULT_MARGIN),
                face_pixels=stored.get("face_pixels"),
                intensity=None if scale is None else IntensityScale.from_dict(scale),
            )
        except TypeError as error:
            raise CheckpointError(
                "the model's facts for prediction are damaged", found=error
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value, to be stored in `model.card["predict"]`."""
        return {
            "margin": self.margin,
            "face_pixels": self.face_pixels,
            "intensity": self.intensity and self.intensity.to_dict(),
        }
