"""The results of one image with all its faces, and of a list of images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from ke2nt.data.images import ImageLike, decode
from ke2nt.errors import ConfigError
from ke2nt.predict.display import format_list, rows_to_html
from ke2nt.predict.result import FaceResult, build_dataframe

if TYPE_CHECKING:
    import pandas
    from PIL.Image import Image

__all__ = ["ImageResult", "ImageResults", "ImageStatus"]

ImageStatus = Literal["ok", "no_face", "unreadable"]


@dataclass(frozen=True, slots=True, repr=False)
class ImageResult:
    """Result of one image.

    Attributes:
        source: The file as it was named, or "image 3" for the fourth array or PIL image.
        status: "ok": at least one face was found; "no_face"; "unreadable": the file cannot be
            decoded.
        faces: Its faces from left to right.
        reason: Why the file is unreadable; None otherwise.
        unvalidated: Whether the classes are custom words that the model was never tested on.
    """

    source: str
    status: ImageStatus
    faces: tuple[FaceResult, ...] = ()
    reason: str | None = None
    unvalidated: bool = False

    @classmethod
    def from_rows(cls, rows: Sequence[FaceResult]) -> Self:
        """Join the results of one image: its faces, or the one that says why there is none."""
        first = rows[0]
        if first.status in ("no_face", "unreadable"):
            return cls(
                first.source, first.status, reason=first.reason, unvalidated=first.unvalidated
            )
        return cls(first.source, "ok", tuple(rows), unvalidated=first.unvalidated)

    def to_rows(self) -> tuple[FaceResult, ...]:
        """Inverse of `from_rows`: at least one result."""
        if self.faces:
            return self.faces
        empty = FaceResult(
            self.source, self.status, reason=self.reason, unvalidated=self.unvalidated
        )
        return (empty,)

    def to_dict(self) -> dict[str, Any]:
        """Convert to a plain JSON value."""
        return {
            "source": self.source,
            "status": self.status,
            "reason": self.reason,
            "unvalidated": self.unvalidated,
            "faces": [face.to_dict() for face in self.faces],
        }

    def plot(self, image: ImageLike | None = None) -> Image:
        """Draw the faces with their predictions on the image, as `ke2nt predict --annotate` does.

        Args:
            image: The image; by default it is read again from its file.

        Returns:
            A PIL image, which notebooks show.

        Raises:
            ConfigError: The image came from no file, and is missing here.
            ImageReadError: The image cannot be read.
        """
        if image is None and not os.path.isfile(self.source):
            raise ConfigError(
                "the result does not hold the image",
                found=self.source,
                hint="Pass it: result.plot(image).",
            )
        from ke2nt.predict.annotate import draw_annotated

        return draw_annotated(decode(self.source if image is None else image), self.to_rows())

    def _repr_html_(self) -> str:
        """Table for notebooks."""
        return rows_to_html(self.to_rows())

    def __repr__(self) -> str:
        """Short text, such as `ImageResult('photo.jpg', 2 faces: happiness 0.93, neutral 0.71)`."""
        if self.status == "unreadable":
            summary = f"unreadable: {self.reason}"
        elif not self.faces:
            summary = "no face"
        else:
            count = "1 face" if len(self.faces) == 1 else f"{len(self.faces)} faces"
            summary = f"{count}: {', '.join(map(_summarize, self.faces))}"
        return f"ImageResult({self.source!r}, {summary})"


class ImageResults(tuple[ImageResult, ...]):
    """Results of some images, in their order.

    Attributes:
        classes: The label set of the probabilities.
    """

    classes: tuple[str, ...]

    def __new__(cls, results: Iterable[ImageResult], classes: Sequence[str]) -> Self:
        self = super().__new__(cls, results)
        self.classes = tuple(classes)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Convert to a plain JSON value: `classes` and `images`."""
        return {
            "classes": list(self.classes),
            "images": [result.to_dict() for result in self],
        }

    def to_dataframe(self) -> pandas.DataFrame:
        """Convert to a data frame: a row for each face, and one for each image without a face.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        rows = (row for result in self for row in result.to_rows())
        return build_dataframe(rows, self.classes)

    def plot(self, *, columns: int = 3, limit: int = 12) -> Image:
        """Draw the first readable images with their predictions, side by side, as a PIL image.

        Args:
            columns: Images in a row.
            limit: Most images to draw.

        Raises:
            ConfigError: An image came from no file; use `plot(image)` of each result.
        """
        from ke2nt.predict.annotate import contact_sheet

        readable = [result for result in self if result.status != "unreadable"]
        return contact_sheet([result.plot() for result in readable[:limit]], columns)

    def _repr_html_(self) -> str:
        """Table for notebooks."""
        return rows_to_html(row for result in self for row in result.to_rows())

    def __repr__(self) -> str:
        """One line for each image, at most fifty."""
        return format_list("ImageResults", [repr(result) for result in self])


def _summarize(face: FaceResult) -> str:
    """Label and confidence, or why the prediction is withheld."""
    return f"{face.verdict} {face.confidence or 0:.2f}"
