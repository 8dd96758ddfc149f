"""The result of one face, and the tables that such results make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from ke2nt.predict.detections import Box
from ke2nt.predict.display import format_list, format_row, rows_to_html
from ke2nt.runtime.optional import import_optional

if TYPE_CHECKING:
    import pandas

__all__ = ["FaceResult", "Results", "Status", "build_dataframe", "column_names", "column_types"]

Status = Literal["ok", "no_face", "not_a_face", "low_confidence", "poor_quality", "unreadable"]

# the columns of a table, in order
_SOURCE_COLUMNS = ("source", "frame", "time")
_BOX_COLUMNS = ("x0", "y0", "x1", "y1")
_FACE_COLUMNS = ("detector_score", "track")
_PREDICTION_COLUMNS = (
    *("status", "label", "confidence", "intensity", "unscaled_intensity"),
    *("raw_label", "raw_confidence"),
)
_NOTE_COLUMNS = ("unvalidated", "reason")

# all other columns are "float64"
_COLUMN_TYPES = {
    **dict.fromkeys(("source", "status", "label", "raw_label", "reason"), "string"),
    **dict.fromkeys(("frame", "track"), "int64"),
    "unvalidated": "bool",
}


@dataclass(frozen=True, slots=True, repr=False)
class FaceResult:
    """Result of one face of an image or frame; or the only result of an image without a face.

    In a video, `probabilities`, `label`, `confidence` and `intensity` are smoothed along the
    face's track; `raw_label` and `raw_confidence` come from the frame alone. For images they agree.

    Attributes:
        source: The file as it was named, "camera 0", or "image 3" for the fourth array or image.
        status: "ok"; "low_confidence": a face whose prediction is withheld; "poor_quality": the
            same, as it is dark, small or blurred; "not_a_face": the same, as what the detector
            found does not look like a face to the model; "no_face": no face was found;
            "unreadable": the file or frame cannot be decoded.
        frame: Number of the video frame, from 0; None for images.
        time: Seconds from the start of the video; None for images.
        box: Face (x0, y0, x1, y1) in pixels of the upright image; it may extend beyond the border.
        detector_score: Score of the detector in [0, 1]; None without a detector.
        track: Number of the person's track in a video, from 1; None for images.
        probabilities: Class → probability, calibrated if the model is, in the model's order.
        label: The predicted class; None unless the status is "ok".
        confidence: Probability of the best class, even if the prediction is withheld.
        intensity: How far the face has moved from neutral towards `label`: 0 for neutral, 1 for a
            typical expression of that label. None without a label, for custom classes, or if the
            model has no scale (fitted by `ke2nt calibrate`).
        unscaled_intensity: The same in units of the embedding space, if there is no scale: only its
            order has a meaning. None with a scale, without a label, or with a linear head.
        raw_label: Best class of this frame alone, even if the prediction is withheld.
        raw_confidence: Its probability.
        unvalidated: Whether the classes are custom words that the model was never tested on.
        reason: Why the file or frame is unreadable, or what is wrong with the face: "dark",
            "small", "blurred", or several of them separated by commas. "unfamiliar", with a label
            or without: the face is unlike those that the model knows.
    """

    source: str
    status: Status
    frame: int | None = None
    time: float | None = None
    box: Box | None = None
    detector_score: float | None = None
    track: int | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    label: str | None = None
    confidence: float | None = None
    intensity: float | None = None
    unscaled_intensity: float | None = None
    raw_label: str | None = None
    raw_confidence: float | None = None
    unvalidated: bool = False
    reason: str | None = None

    def __repr__(self) -> str:
        return f"FaceResult({format_row(self)})"

    @property
    def verdict(self) -> str:
        """What is known about the image in a few words, such as "happiness" or "not sure"."""
        if self.status == "ok":
            return self.label or "?"
        if self.status == "poor_quality":
            return f"too {(self.reason or 'poor').replace(', ', ' and ')}"
        words = {"low_confidence": "not sure", "no_face": "no face", "not_a_face": "not a face"}
        return words.get(self.status, "unreadable")

    def to_dict(self) -> dict[str, Any]:
        """Convert to a plain JSON value, with `box` and `probabilities` nested."""
        # flat columns, in order, around the two nested values
        face_columns = (*_FACE_COLUMNS, *_PREDICTION_COLUMNS)
        return {
            **{name: getattr(self, name) for name in _SOURCE_COLUMNS},
            "box": None if self.box is None else list(self.box),
            **{name: getattr(self, name) for name in face_columns},
            "probabilities": dict(self.probabilities),
            **{name: getattr(self, name) for name in _NOTE_COLUMNS},
        }

    def to_row(self, classes: Sequence[str]) -> dict[str, Any]:
        """Convert to a flat row with the keys of `column_names(classes)`; None for no value."""
        # collected by name, then put into the order of the columns
        box = self.box or (None,) * len(_BOX_COLUMNS)
        row: dict[str, Any] = dict(zip(_BOX_COLUMNS, box, strict=True))
        for name in (*_SOURCE_COLUMNS, *_FACE_COLUMNS, *_PREDICTION_COLUMNS, *_NOTE_COLUMNS):
            row[name] = getattr(self, name)
        for name in classes:
            row[f"p_{name}"] = self.probabilities.get(name)

        return {name: row[name] for name in column_names(classes)}


class Results(tuple[FaceResult, ...]):
    """Results of all faces of some images, image by image, faces from left to right.

    Attributes:
        classes: The label set of the probabilities.
    """

    classes: tuple[str, ...]

    def __new__(cls, rows: Iterable[FaceResult], classes: Sequence[str]) -> Self:
        results = super().__new__(cls, rows)
        results.classes = tuple(classes)
        return results

    def to_dataframe(self) -> pandas.DataFrame:
        """Convert to a data frame with a row for each face and the columns of `column_names`.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return build_dataframe(self, self.classes)

    def _repr_html_(self) -> str:
        """Table for notebooks."""
        return rows_to_html(self)

    def __repr__(self) -> str:
        """One line for each row, at most fifty."""
        return format_list("Results", [format_row(row) for row in self])


def column_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Columns of a table, in order: source, box, prediction, then `p_CLASS` for each class."""
    return (
        *_SOURCE_COLUMNS,
        *_BOX_COLUMNS,
        *_FACE_COLUMNS,
        *_PREDICTION_COLUMNS,
        *_NOTE_COLUMNS,
        *(f"p_{name}" for name in classes),
    )


def column_types(classes: Sequence[str]) -> dict[str, str]:
    """Column → "string", "int64", "float64" or "bool", in the order of `column_names`."""
    return {name: _COLUMN_TYPES.get(name, "float64") for name in column_names(classes)}


def build_dataframe(rows: Iterable[FaceResult], classes: Sequence[str]) -> pandas.DataFrame:
    """Build a data frame from results, with nullable integers.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    # pandas needs "Int64" for integers with missing values
    library = import_optional("pandas", extra="tables", purpose="data frames")
    types = column_types(classes)
    nullable = {name: "Int64" if kind == "int64" else kind for name, kind in types.items()}
    table = library.DataFrame([row.to_row(classes) for row in rows], columns=list(types))
    return table.astype(nullable)
