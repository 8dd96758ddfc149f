"""The person that a drawn face belongs to: proportions, colors and attributes in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from ke2nt.drawn.colors import Color
from ke2nt.drawn.traits import (
    FACE_SHAPES,
    FACTORS,
    HAIR_COLORS,
    IRIS_COLORS,
    LIP_COLORS,
    OFFSETS,
    SKINS,
    VARIED,
    WRINKLES,
    pick,
    sample_attributes,
)

__all__ = ["Identity"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything about a face that stays when its expression changes.

    Lengths are in face units (1 = half the height of the head), or factors around 1.

    Attributes:
        attributes: Facts in words: gender, age, skin, face, hair, hair_color, eye_color, glasses,
            beard and freckles.
        width, jaw, chin, length: Factors of the outline of the head.
        eye_size, eye_spacing, eye_open: Factors of the eyes.
        eye_y, eye_tilt: Height of the eyes (down is positive) and rise of their outer corners.
        crease: Strength of the crease of the upper eyelid, 0 to 1.
        brow_thickness, brow_y, brow_arch, brow_tilt: Brows; tilt lifts their inner ends.
        nose_width, nose_length: Factors of the nose.
        mouth_width, lip_upper, lip_lower: Factors of the mouth.
        mouth_y, mouth_curve: Height of the mouth, and how far its corners hang at rest.
        wrinkles: Strength of the lines of age, 0 to 1.
        skin, hair, iris, lip, cloth: Colors.
        detail_seed: Seed of strands, curls, freckles and stubble.
    """

    attributes: Mapping[str, str]
    width: float
    jaw: float
    chin: float
    length: float
    eye_size: float
    eye_spacing: float
    eye_open: float
    eye_y: float
    eye_tilt: float
    crease: float
    brow_thickness: float
    brow_y: float
    brow_arch: float
    brow_tilt: float
    nose_width: float
    nose_length: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    mouth_y: float
    mouth_curve: float
    wrinkles: float
    skin: Color
    hair: Color
    iris: Color
    lip: Color
    cloth: Color
    detail_seed: int

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Identity:
        """Draw a person. The order of the draws is part of every seed's pixels."""
        attributes = sample_attributes(rng)
        female = attributes["gender"] == "female"

        variations = dict(zip(VARIED, rng.normal(size=len(VARIED)).clip(-2, 2), strict=True))
        lengths = {
            name: _factor(name, attributes, variation)
            if name in FACTORS
            else _offset(name, attributes, variation)
            for name, variation in variations.items()
            if name != "skin"
        }
        lengths["brow_arch"] += 0.01 if female else 0

        # Lips are a redder skin
        skin = _tinted(pick(rng, SKINS[attributes["skin"]]), variations["skin"] * 5)
        blend = 0.52 if female else 0.34
        red = LIP_COLORS[attributes["skin"]]
        lip = tuple(round(a + (b - a) * blend) for a, b in zip(skin, red, strict=True))

        return cls(
            attributes=attributes,
            crease=float(rng.random() < 0.8) * rng.uniform(0.5, 1),
            mouth_curve=float(rng.normal(-0.01, 0.008)),
            wrinkles=WRINKLES[attributes["age"]],
            skin=skin,
            hair=_tinted(HAIR_COLORS[attributes["hair_color"]], rng.normal() * 6),
            iris=_tinted(IRIS_COLORS[attributes["eye_color"]], rng.normal() * 6),
            lip=_clipped(*lip),
            cloth=_clipped(*rng.integers(30, 220, 3)),
            detail_seed=int(rng.integers(2**62)),
            **lengths,
        )


def _factor(name: str, attributes: Mapping[str, str], variation: float) -> float:
    """A proportion in `FACTORS` of one person."""
    factor = FACTORS[name]
    age, gender, skin = attributes["age"], attributes["gender"], attributes["skin"]
    build = "child" if age == "child" else gender

    group = (
        FACE_SHAPES[attributes["face"]].get(name, 1.0),
        factor.build.get(build, 1.0),
        factor.age.get(age, 1.0),
        factor.gender.get(gender, 1.0),
        factor.skin.get(skin, 1.0),
    )
    return prod(group) * (1 + factor.spread * variation)


def _offset(name: str, attributes: Mapping[str, str], variation: float) -> float:
    """A position in `OFFSETS` of one person."""
    offset = OFFSETS[name]
    child = attributes["age"] == "child" and offset.child_center is not None
    center = offset.child_center if child else offset.center
    return float(center or 0.0) + offset.spread * variation


def _clipped(r: float, g: float, b: float) -> Color:
    return (int(min(max(r, 0), 255)), int(min(max(g, 0), 255)), int(min(max(b, 0), 255)))


def _tinted(color: Color, shift: float) -> Color:
    return _clipped(*(c + shift for c in color))
