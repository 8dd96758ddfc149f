"""How a model expects faces to be cropped and intensities scaled; stored on its model card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

from ke2nt.errors import CheckpointError
from ke2nt.predict.intensity import IntensityScale

__all__ = ["DEFAULT_MARGIN", "FaceSettings", "HasCard"]

DEFAULT_MARGIN = 0.0
"""A square whose side is the longer side of the detector's box, as FER+ is cropped."""


class HasCard(Protocol):
    """A model with facts for its card."""

    card: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FaceSettings:
    """Settings that a model card keeps under "predict", for faces found by a detector.

    Attributes:
        margin: The crop is a square around the center of the detector's box; its side is
            (1 + margin) times the longer side of the box.
        face_pixels: Side in pixels of the training images if they were smaller than the model's
            input; larger crops are first reduced to it. None skips this step.
        align: Whether a tilted face is turned until its eyes are level, where the detector finds
            them.
        intensity: Scale from raw intensities to the reported ones; None reports raw intensities.

    Raises:
        CheckpointError: A value is out of range.
    """

    margin: float = DEFAULT_MARGIN
    face_pixels: int | None = None
    align: bool = False
    intensity: IntensityScale | None = None

    def __post_init__(self) -> None:
        valid_margin = -0.5 < self.margin < 4
        valid_pixels = self.face_pixels is None or 8 <= self.face_pixels <= 4096
        if not (valid_margin and valid_pixels):
            raise CheckpointError(
                "the prediction settings of the model are out of range",
                expected="margin from -0.5 to 4, face_pixels from 8 to 4096",
                found=f"margin {self.margin}, face_pixels {self.face_pixels}",
            )

    @classmethod
    def from_model(cls, model: HasCard) -> Self:
        """Read the settings of a model; defaults for those that its card does not have.

        Raises:
            CheckpointError: A value is out of range or has a wrong type.
        """
        # cards written before a setting existed do not have it
        stored: dict[str, Any] = model.card.get("predict") or {}
        scale = stored.get("intensity")
        try:
            return cls(
                margin=stored.get("margin", DEFAULT_MARGIN),
                face_pixels=stored.get("face_pixels"),
                align=bool(stored.get("align", False)),
                intensity=None if scale is None else IntensityScale.from_dict(scale),
            )
        except TypeError as error:
            raise CheckpointError(
                "the prediction settings of the model are damaged", found=error
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """Convert to a plain JSON value, to be stored in `model.card["predict"]`."""
        return {
            "margin": self.margin,
            "face_pixels": self.face_pixels,
            **({"align": True} if self.align else {}),
            "intensity": self.intensity and self.intensity.to_dict(),
        }
