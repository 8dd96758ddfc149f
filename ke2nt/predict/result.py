"""What was found out about one face, and what is said where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from ke2nt.runtime.optional import import_optional

if TYPE_CHECKING:
    import pandas

__all__ = ["FaceResult", "Results", "Status", "column_types", "columns"]

Status = Literal["ok", "no_face", "low_confidence", "unreadable"]
_PLACE = ("source", "frame", "time")
_BOX = ("x0", "y0", "x1", "y1")
_FACE = ("detector_score", "track")
_ANSWER = ("status", "label", "confidence", "intensity", "raw_label", "raw_confidence")
_FLAGS = ("unvalidated", "reason")
_TYPES = {
    **dict.fromkeys(("source", "status", "label", "raw_label", "reason"), "string"),
    **dict.fromkeys(("frame", "track"), "int64"),
    "unvalidated": "bool",
}


@dataclass(frozen=True, slots=True)
class FaceResult:
    """One face of an image or frame; or the one row of an image without a usable face.

    In a video, `probabilities`, `label`, `confidence` and `intensity` are smoothed along the
    face's track; `raw_label` and `raw_confidence` are those of the frame alone. For images the two
    agree.

    Attributes:
        source: The file as it was named, "camera 0", or "image 3" for the fourth array or image.
        status: "ok"; "low_confidence": a face, but the answer is withheld; "no_face": none was
            found; "unreadable": the file or frame cannot be decoded.
        frame: Number of the video frame, from 0; None for images.
        time: Seconds from the video's start; None for images.
        box: Face (x0, y0, x1, y1) in pixels of the upright image; it may reach beyond the border.
        detector_score: The detector's own score in [0, 1]; None without a detector.
        track: Number of the person's track in a video, from 1; None for images.
        probabilities: Class → probability, calibrated where the model is, in the model's order.
        label: The answer; None unless the status is "ok".
        confidence: Probability of the best class, also where the answer is withheld.
        intensity: How far the face has moved from neutral towards `label`: 0 at neutral; 1 is a
            typical expression of that label where the model has a scale (`ke2nt calibrate` fits
            it), else in units of the embedding space. None without a label, or with a linear head.
        raw_label: Best class of this frame alone, also where the answer is withheld.
        raw_confidence: Its probability.
        unvalidated: Whether the classes are words that the model was never tested on.
        reason: Why the file or frame is unreadable.
    """

    source: str
    status: Status
    frame: int | None = None
    time: float | None = None
    box: tuple[float, float, float, float] | None = None
    detector_score: float | None = None
    track: int | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    label: str | None = None
    confidence: float | None = None
    intensity: float | None = None
    raw_label: str | None = None
    raw_confidence: float | None = None
    unvalidated: bool = False
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value, with `box` and `probabilities` nested."""
        return {
            **{name: getattr(self, name) for name in _PLACE},
            "box": None if self.box is None else list(self.box),
            **{name: getattr(self, name) for name in (*_FACE, *_ANSWER)},
            "probabilities": dict(self.probabilities),
            **{name: getattr(self, name) for name in _FLAGS},
        }

    def to_row(self, classes: Sequence[str]) -> dict[str, Any]:
        """Flat row with the keys of `columns(classes)`; None where nothing is known."""
        names = (*_PLACE, *_FACE, *_ANSWER, *_FLAGS)
        row = {name: getattr(self, name) for name in names}
        row |= dict(zip(_BOX, self.box or (None,) * len(_BOX), strict=True))
        row |= {f"p_{name}": self.probabilities.get(name) for name in classes}
        return {name: row[name] for name in columns(classes)}


def columns(classes: Sequence[str]) -> tuple[str, ...]:
    """Names of a table's columns, in order: place, box, answer, then `p_CLASS` for each class."""
    return (*_PLACE, *_BOX, *_FACE, *_ANSWER, *_FLAGS, *(f"p_{name}" for name in classes))


def column_types(classes: Sequence[str]) -> dict[str, str]:
    """Column → "string", "int64", "float64" or "bool", in the order of `columns`."""
    return {name: _TYPES.get(name, "float64") for name in columns(classes)}


class Results(tuple[FaceResult, ...]):
    """The rows of some images, in their order, faces from left to right.

    Attributes:
        classes: The label set of the probabilities.
    """

    classes: tuple[str, ...]

    def __new__(cls, rows: Iterable[FaceResult], classes: Sequence[str]) -> Self:
        results = super().__new__(cls, rows)
        results.classes = tuple(classes)
        return results

    def to_dataframe(self) -> pandas.DataFrame:
        """One row a face, with the columns of `columns(classes)`.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        table = import_optional("pandas", extra="tables", purpose="data frames")
        types = column_types(self.classes)
        rows = [row.to_row(self.classes) for row in self]
        nullable = {name: "Int64" if kind == "int64" else kind for name, kind in types.items()}
        return table.DataFrame(rows, columns=list(types)).astype(nullable)
