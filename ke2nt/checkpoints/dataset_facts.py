"""What a model card says about datasets: content and license."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["DATASETS", "DatasetFacts"]


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What a card says about a dataset.

    Attributes:
        title: Its usual name.
        content: What its images are and who labeled them.
        license: Terms of its images and labels.
        free: Whether those terms allow any use.
    """

    title: str
    content: str
    license: str
    free: bool = False


_AFFECTNET = DatasetFacts(
    "AffectNet",
    "faces from web searches for emotion words, each labeled by one annotator",
    "non-commercial research, by agreement with its authors",
)
DATASETS: Mapping[str, DatasetFacts] = {
    "ferplus": DatasetFacts(
        "FER+",
        "the images of FER2013 (48 px, gray, from web searches) with ten crowd votes each",
        "labels: MIT (Microsoft); images: those of FER2013, for research",
    ),
    "fer2013": DatasetFacts(
        "FER2013",
        "faces from web searches for emotion words, 48 px, gray, with noisy labels",
        "for research, from a Kaggle challenge of 2013",
    ),
    "rafdb": DatasetFacts(
        "RAF-DB",
        "faces from the web, each labeled by about 40 annotators",
        "non-commercial research, by agreement with its authors",
    ),
    "rafdb_compound": DatasetFacts(
        "RAF-DB, compound expressions",
        "faces from the web with two expressions at once, each labeled by about 40 annotators",
        "non-commercial research, by agreement with its authors",
    ),
    "affectnet7": _AFFECTNET,
    "affectnet8": _AFFECTNET,
    "ckplus": DatasetFacts(
        "CK+",
        "posed expressions of adults in a laboratory, frontal, coded by action units",
        "non-commercial research, by agreement with its authors",
    ),
    "oulucasia": DatasetFacts(
        "Oulu-CASIA",
        "posed expressions of 80 adults in three illuminations, by visible and infrared light",
        "research, by agreement with its authors",
    ),
    "mmi": DatasetFacts(
        "MMI",
        "posed and spontaneous expressions of adults in a laboratory",
        "non-commercial research, by agreement with its authors",
    ),
    "jaffe": DatasetFacts(
        "JAFFE",
        "posed expressions of ten Japanese women, gray",
        "non-commercial research, under its own terms",
    ),
    "sfew": DatasetFacts(
        "SFEW 2.0",
        "frames of films with acted expressions",
        "non-commercial research, by agreement with its authors",
    ),
    "expw": DatasetFacts(
        "ExpW",
        "faces from web searches for emotion words, with boxes, each labeled by annotators",
        "non-commercial research",
    ),
    "drawn": DatasetFacts(
        "drawn faces of ke2nt",
        "faces drawn by a program; they show no real person",
        "MIT",
        free=True,
    ),
}
