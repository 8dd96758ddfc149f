"""Faces of an image, found and cropped for the model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ke2nt.predict.crop import crop_level, crop_square
from ke2nt.predict.detections import Box, Detection, Detector
from ke2nt.predict.quality import FaceQuality, measure_quality
from ke2nt.predict.scores import Classifier

__all__ = ["FoundFace", "crop_faces", "crop_whole", "find_faces"]


class FoundFace(NamedTuple):
    """A face on its way to the model.

    Attributes:
        box: Face in pixels.
        score: Score of the detector; None if the whole image is the face.
        crop: uint8 (S, S, 3), S the model's image size.
        quality: How well the face can be seen.
    """

    box: Box
    score: float | None
    crop: np.ndarray
    quality: FaceQuality

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def find_faces(
    pixels: np.ndarray,
    detector: Detector | None,
    classifier: Classifier,
    *,
    min_score: float = 0.0,
) -> list[FoundFace]:
    """Find and crop the faces of an image, from left to right.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        detector: Finds the faces; None to take the whole image as one face.
        classifier: Crops the faces.
        min_score: Detections with a lower score are left out, in [0, 1].
    """
    if detector is None:
        return [crop_whole(pixels, classifier)]
    return crop_faces(pixels, detector.detect(pixels), classifier, min_score=min_score)


def crop_whole(pixels: np.ndarray, classifier: Classifier) -> FoundFace:
    """Take the whole image as one face."""
    height, width = pixels.shape[:2]
    box = (0.0, 0.0, float(width), float(height))
    quality = measure_quality(pixels, max(width, height))
    return FoundFace(box, None, classifier.crop(pixels, None), quality)


def crop_faces(
    pixels: np.ndarray,
    detections: Iterable[Detection],
    classifier: Classifier,
    *,
    min_score: float,
) -> list[FoundFace]:
    """Crop the faces that a detector found, from left to right; arguments as in `find_faces`."""
    faces = []
    for detection in sorted(detections, key=lambda detection: detection.box):
        if detection.score < min_score:
            continue
        # the square is cut once, for the model and for the quality
        x0, y0, x1, y1 = detection.box
        settings = classifier.settings
        cut = crop_level(pixels, detection, settings.margin) if settings.align else None
        square = crop_square(pixels, detection.box, settings.margin) if cut is None else cut
        quality = measure_quality(square, max(x1 - x0, y1 - y0))
        crop = classifier.crop(square, None)
        faces.append(FoundFace(detection.box, detection.score, crop, quality))
    return faces
